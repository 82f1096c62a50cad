package postgres

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// remoteBase takes a base over the replication protocol, which the REPLICATION right is enough for:
//
//	the server sends one tar for each tablespace, then that of the data directory, then the manifest;
//	files go on to the sink as they come, their pages verified on the way;
//	the configuration that lies elsewhere, read before, is added, and listed in the manifest.
type remoteBase struct {
	conn    *replication.Conn
	sql     *pgconn.PgConn // nil where the role may not connect to a database
	refused error          // why it may not
	clock   func(context.Context) (time.Time, error)
	label   string
	sink    engine.BaseSink
	log     *slog.Logger
	begun   func(start wal.LSN, at time.Time) error // told where the base begins; nil: nobody is

	config   []configFile // that lies elsewhere
	checker  *datadir.Checker
	manifest []byte
	started  time.Time
	bytes    int64
}

// maxManifest is how large a manifest may be, in bytes: that of a few million files.
const maxManifest = 1 << 30

// take takes the base. conn is used up.
func (b *remoteBase) take(ctx context.Context) (*takenBase, error) {
	control, err := showControl(ctx, b.conn)
	if err != nil {
		return nil, err
	}
	if b.config, err = b.readConfig(ctx); err != nil {
		return nil, err
	}
	major := b.conn.Version()
	if b.started, err = b.clock(ctx); err != nil {
		return nil, err
	}
	backup, err := b.conn.BaseBackup(ctx, replication.BackupOptions{Label: b.label, Manifest: major >= 13})
	if err != nil {
		return nil, fmt.Errorf("begin backup: %w", err)
	}
	defer backup.Close()
	if b.begun != nil {
		if err := b.begun(backup.Start, b.started); err != nil {
			return nil, err
		}
	}
	b.checker = datadir.NewChecker(control, backup.Start)
	line := backup.Timeline
	damage, err := b.receive(ctx, backup)
	if err != nil {
		return nil, err
	}
	stopped, err := b.clock(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.finish(ctx, backup.Tablespaces); err != nil {
		return nil, err
	}
	return &takenBase{start: backup.Start, startLine: line, stop: backup.Stop, stopLine: backup.StopTimeline,
		startTime: b.started, stopTime: stopped, bytes: b.bytes, damage: &b.checker.Damage, said: damage}, nil
}

// receive stores what the server sends. A server that found wrong page checksums sends everything and says so at the
// end: the base is taken, and what was said is returned.
func (b *remoteBase) receive(ctx context.Context, backup *replication.Backup) (said string, err error) {
	for {
		a, err := backup.Next()
		var refused *pgconn.PgError
		switch {
		case err == io.EOF:
			return "", nil
		case errors.As(err, &refused) && refused.Code == "XX001" && backup.Stop != 0:
			return refused.Message, nil
		case err != nil:
			return "", fmt.Errorf("receive base: %w", err)
		case a.Manifest:
			b.manifest, err = io.ReadAll(io.LimitReader(a, maxManifest))
		default:
			err = b.archive(ctx, a)
		}
		if err != nil {
			return "", fmt.Errorf("receive base: %w", err)
		}
	}
}

// archive stores the files of one tar.
func (b *remoteBase) archive(ctx context.Context, a *replication.Archive) error {
	prefix := ""
	if a.Tablespace.OID != 0 {
		prefix = "pg_tblspc/" + strconv.FormatUint(uint64(a.Tablespace.OID), 10)
		if err := b.sink.Put(ctx, engine.File{Name: prefix, Mode: fs.ModeDir | 0o700, ModTime: b.started}, nil); err != nil {
			return err
		}
	}
	// Servers before 15 leave out the zeros that end a tar.
	in := tar.NewReader(io.MultiReader(a, strings.NewReader(strings.Repeat("\x00", 1024))))
	for {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Join(prefix, path.Clean(h.Name))
		if !fs.ValidPath(name) {
			return fmt.Errorf("the server sent a file called %q", h.Name)
		}
		if err := b.member(ctx, name, h, in); err != nil {
			return err
		}
	}
}

// member stores one file or folder. Links are those of tablespaces, which have archives of their own.
func (b *remoteBase) member(ctx context.Context, name string, h *tar.Header, in io.Reader) error {
	f := engine.File{Name: name, Mode: h.FileInfo().Mode(), Size: h.Size, ModTime: h.ModTime}
	switch {
	case name == ".", name == datadir.MapName, h.Typeflag == tar.TypeSymlink:
		return nil
	case h.Typeflag == tar.TypeDir:
		return b.sink.Put(ctx, f, nil)
	case h.Typeflag != tar.TypeReg:
		return fmt.Errorf("the server sent %q, of a kind %q that does not belong to a base", name, h.Typeflag)
	case name == "standby.signal", name == "recovery.signal":
		return nil // pg_verifybackup passes over them; who restores decides
	}
	b.bytes += h.Size
	return b.sink.Put(ctx, f, b.checker.NewStream(name, h.Size, in))
}

// finish stores the places of the tablespaces, the configuration that lies elsewhere, and the manifest.
func (b *remoteBase) finish(ctx context.Context, spaces []replication.Tablespace) error {
	var list []datadir.Tablespace
	for _, t := range spaces {
		if t.OID != 0 {
			list = append(list, datadir.Tablespace{OID: t.OID, Path: t.Path})
		}
	}
	if len(list) > 0 {
		if err := putBytes(ctx, b.sink, datadir.MapName, []byte(datadir.FormatTablespaces(list)), b.started); err != nil {
			return err
		}
	}
	var added []datadir.ManifestFile
	err := putConfig(ctx, b.sink, b.config, b.started, func(f datadir.ManifestFile) {
		b.bytes += f.Size
		added = append(added, f)
	})
	if err != nil || b.manifest == nil {
		return err
	}
	if len(added) > 0 {
		if b.manifest, err = datadir.AppendToManifest(b.manifest, added); err != nil {
			return err
		}
	}
	return putBytes(ctx, b.sink, datadir.ManifestName, b.manifest, b.started)
}

// readConfig reads the configuration that lies elsewhere. That comes first, and ends the session: a base takes hours, and servers end
// sessions that rest for long (idle_session_timeout), as do firewalls.
func (b *remoteBase) readConfig(ctx context.Context) ([]configFile, error) {
	if b.sql == nil {
		b.log.WarnContext(ctx, "configuration outside the data directory is not in the base", "why", b.refused)
		return nil, nil
	}
	defer closeSoon(b.sql.Close)
	files, missing, err := readConfig(ctx, b.sql, false)
	if missing != "" {
		b.log.WarnContext(ctx, missing)
	}
	return files, err
}

// showControl asks for what pg_control would say of pages.
func showControl(ctx context.Context, conn *replication.Conn) (c datadir.Control, err error) {
	on, err := conn.Show(ctx, "data_checksums")
	if err != nil {
		return c, fmt.Errorf("ask for the form of pages: %w", err)
	}
	page, err := showBytes(ctx, conn, "block_size")
	if err != nil {
		return c, err
	}
	segment, err := showBytes(ctx, conn, "segment_size")
	if err != nil {
		return c, err
	}
	if page < 1024 || page > 32768 || segment < page {
		return c, fmt.Errorf("ask for the form of pages: %d bytes, of files of %d", page, segment)
	}
	c.BlockSize, c.SegmentBlocks = uint32(page), uint32(segment/page)
	if on == "on" {
		c.DataChecksums = 1
	}
	return c, nil
}

// showBytes asks for a setting that is a size.
func showBytes(ctx context.Context, conn *replication.Conn, name string) (int64, error) {
	text, err := conn.Show(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", name, err)
	}
	return parseBytes(text)
}

// parseBytes reads a size as the server prints it: "8192", "64kB", "16MB", "1GB".
func parseBytes(s string) (int64, error) {
	number := strings.TrimRight(s, "kMGTB")
	unit, ok := map[string]int64{"": 1, "B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}[s[len(number):]]
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || !ok {
		return 0, fmt.Errorf("read size %q: want a number with kB, MB, GB or TB", s)
	}
	return n * unit, nil
}
