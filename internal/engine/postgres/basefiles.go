package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// fileBase takes a base by reading the files of the server:
//
//  1. begin the base in a session of the server, with a checkpoint at once;
//  2. list the data directory and the tablespaces, and store the folders;
//  3. store the large files, the largest first, then the small ones, which are read ahead;
//  4. store the configuration that lies elsewhere;
//  5. store pg_control, as it is when everything else has been read: on a standby it says how far replay must come;
//  6. end the base, and store the label, the places of the tablespaces and the manifest.
type fileBase struct {
	conn  *pgconn.PgConn
	dir   string
	major int
	label string
	sink  engine.BaseSink
	log   *slog.Logger
	begun func(start wal.LSN, at time.Time) error // told where the base begins; nil: nobody is

	checker  *datadir.Checker
	manifest *datadir.ManifestWriter // nil before 13
	control  datadir.Control
	started  time.Time
	bytes    int64
}

// take takes the base. If it fails, conn is not good for anything else.
func (b *fileBase) take(ctx context.Context) (*takenBase, error) {
	session, spaces, err := b.begin(ctx)
	if err != nil {
		return nil, err
	}
	if b.begun != nil {
		if err := b.begun(session.start, session.since); err != nil {
			return nil, err
		}
	}
	if b.control, _, err = datadir.ReadControl(os.DirFS(b.dir)); err != nil {
		return nil, err
	}
	b.started, b.checker = session.since, datadir.NewChecker(b.control, session.start)
	if b.major >= 13 {
		b.manifest = datadir.NewManifestWriter(b.major, b.control.SystemID)
	}
	watched, stopWatch := session.watch(ctx)
	err = b.copy(watched, session, spaces)
	if watched.Err() != nil {
		err = context.Cause(watched)
	}
	stopWatch()
	if err != nil {
		return nil, err
	}
	stop, err := session.end(ctx)
	if err != nil {
		return nil, err
	}
	return b.finish(ctx, stop)
}

// spaceTries is how often a base is begun anew because a tablespace came or went just then.
const spaceTries = 5

// begin begins the base and lists the tablespaces that it has. The server lists them too, but tells at the end only;
// one that was made after its list must not be in ours, since replay makes it and trips over one that is there.
func (b *fileBase) begin(ctx context.Context) (*backupSession, []datadir.Tablespace, error) {
	for range spaceTries {
		before, err := datadir.Tablespaces(b.dir)
		if err != nil {
			return nil, nil, err
		}
		session, err := beginBackup(ctx, b.conn, b.major, b.label)
		if err != nil {
			return nil, nil, err
		}
		after, err := datadir.Tablespaces(b.dir)
		if err != nil {
			return nil, nil, err
		}
		if slices.Equal(before, after) {
			return session, after, nil
		}
		if _, err := session.end(ctx); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errors.New("begin backup: tablespaces come and go too fast")
}

// copy stores everything that the server has before the base ends.
func (b *fileBase) copy(ctx context.Context, session *backupSession, spaces []datadir.Tablespace) error {
	list, err := datadir.Walk(b.dir, b.major, b.control, spaces)
	if err != nil {
		return err
	}
	if len(list.Skipped) > 0 {
		b.log.InfoContext(ctx, "left out of the base: neither files nor folders of the server", "names", list.Skipped)
	}
	for _, d := range list.Folders {
		if err := b.sink.Put(ctx, fileOf(d, 0), nil); err != nil {
			return err
		}
	}
	slices.SortStableFunc(list.Files, func(a, b datadir.Entry) int { return cmp.Compare(b.Size, a.Size) })
	n, _ := slices.BinarySearchFunc(list.Files, smallFile, func(e datadir.Entry, size int64) int { return cmp.Compare(size, e.Size) })
	for _, e := range list.Files[:n] {
		if err := b.putLarge(ctx, e); err != nil {
			return err
		}
	}
	if err := b.putSmall(ctx, list.Files[n:]); err != nil {
		return err
	}
	if err := b.putConfig(ctx, session); err != nil {
		return err
	}
	return b.putControl(ctx)
}

// putLarge hands one file to the sink, which reads it in parallel. One that is gone belongs to a relation that was
// dropped: the log says so.
func (b *fileBase) putLarge(ctx context.Context, e datadir.Entry) error {
	f, err := b.checker.Open(e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := b.sink.Put(ctx, fileOf(e, f.Size()), f); err != nil {
		return err
	}
	crc, err := f.CRC32C()
	if err != nil {
		return err
	}
	b.stored(e.Name, f.Size(), e.ModTime, crc)
	return nil
}

func (b *fileBase) putSmall(ctx context.Context, files []datadir.Entry) error {
	for f := range readAhead(ctx, b.checker, files) {
		switch {
		case f.err != nil:
			return f.err
		case f.gone:
			continue
		case f.large:
			if err := b.putLarge(ctx, f.entry); err != nil {
				return err
			}
			continue
		}
		if err := b.sink.Put(ctx, fileOf(f.entry, f.size), bytes.NewReader(f.data)); err != nil {
			return err
		}
		b.stored(f.entry.Name, f.size, f.entry.ModTime, f.crc)
	}
	return ctx.Err()
}

// putConfig stores the configuration outside the data directory, read in the session of the base.
func (b *fileBase) putConfig(ctx context.Context, session *backupSession) error {
	session.mu.Lock()
	files, missing, err := readConfig(ctx, b.conn, true)
	session.mu.Unlock()
	if err != nil {
		return err
	}
	if missing != "" {
		b.log.WarnContext(ctx, missing)
	}
	return putConfig(ctx, b.sink, files, b.started, b.list)
}

func (b *fileBase) putControl(ctx context.Context) error {
	_, raw, err := datadir.ReadControl(os.DirFS(b.dir))
	if err != nil {
		return err
	}
	now := b.started
	if info, err := os.Stat(filepath.Join(b.dir, filepath.FromSlash(datadir.ControlName))); err == nil {
		now = info.ModTime()
	}
	if err := putBytes(ctx, b.sink, datadir.ControlName, raw, now); err != nil {
		return err
	}
	b.stored(datadir.ControlName, int64(len(raw)), now, datadir.CRC32C(raw))
	return nil
}

// stored notes what the manifest will say.
func (b *fileBase) stored(name string, size int64, modTime time.Time, crc uint32) {
	b.list(manifestFile(name, size, modTime, crc))
}

func (b *fileBase) list(f datadir.ManifestFile) {
	b.bytes += f.Size
	if b.manifest != nil {
		b.manifest.Add(f)
	}
}

func manifestFile(name string, size int64, modTime time.Time, crc uint32) datadir.ManifestFile {
	return datadir.ManifestFile{Path: name, Size: size, Modified: modTime, Algorithm: "CRC32C", Checksum: datadir.CRC32CChecksum(crc)}
}

// finish stores what the server said at the end.
func (b *fileBase) finish(ctx context.Context, stop backupStop) (*takenBase, error) {
	l, err := datadir.ParseLabel(stop.label)
	if err != nil {
		return nil, err
	}
	way, err := b.way(l)
	if err != nil {
		return nil, err
	}
	if err := putBytes(ctx, b.sink, datadir.LabelName, []byte(stop.label), stop.time); err != nil {
		return nil, err
	}
	b.stored(datadir.LabelName, int64(len(stop.label)), stop.time, datadir.CRC32C([]byte(stop.label)))
	if stop.tablespaces != "" {
		// Not in the manifest: who restores puts the tablespaces elsewhere and removes the map.
		if err := putBytes(ctx, b.sink, datadir.MapName, []byte(stop.tablespaces), stop.time); err != nil {
			return nil, err
		}
	}
	if b.manifest != nil {
		m := b.manifest.Finish(rangesOf(l, stop.lsn, way))
		if err := putBytes(ctx, b.sink, datadir.ManifestName, m, stop.time); err != nil {
			return nil, err
		}
	}
	return &takenBase{start: l.Start, startLine: l.Timeline, stop: stop.lsn, stopLine: way.Timeline,
		startTime: b.started, stopTime: stop.time, bytes: b.bytes, damage: &b.checker.Damage}, nil
}

// way is the history of the timeline on which the base ended. A primary stays on its timeline, or the session ends; a
// standby may have followed its primary to another one.
func (b *fileBase) way(l datadir.Label) (wal.History, error) {
	if !l.FromStandby {
		return wal.History{Timeline: l.Timeline}, nil
	}
	c, _, err := datadir.ReadControl(os.DirFS(b.dir))
	if err != nil {
		return wal.History{}, err
	}
	if c.MinRecoveryLine == l.Timeline || c.MinRecoveryLine == 0 {
		return wal.History{Timeline: l.Timeline}, nil
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "pg_wal", wal.HistoryName(c.MinRecoveryLine)))
	if err != nil {
		return wal.History{}, fmt.Errorf("end backup: %w", err)
	}
	return wal.ParseHistory(c.MinRecoveryLine, text)
}

// fileOf is e as a sink takes it.
func fileOf(e datadir.Entry, size int64) engine.File {
	return engine.File{Name: e.Name, Mode: e.Mode &^ fs.ModeSymlink, Size: size, ModTime: e.ModTime}
}

// tell logs how the base went.
func (b *fileBase) tell(ctx context.Context) {
	pages, again, torn := b.checker.Checked()
	b.log.LogAttrs(ctx, slog.LevelDebug, "base taken", slog.Int64("bytes", b.bytes), slog.Int64("pages_verified", pages),
		slog.Int64("pages_read_again", again), slog.Int64("pages_left_to_the_log", torn))
}

// putBytes stores a file that is in memory.
func putBytes(ctx context.Context, sink engine.BaseSink, name string, data []byte, modTime time.Time) error {
	f := engine.File{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: modTime}
	return sink.Put(ctx, f, bytes.NewReader(data))
}
