package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// folderSink lays a base in a folder. What can be read anywhere it reads with two workers, as a repository does.
type folderSink struct {
	dir    string
	before func(name string) // called before each file
	random int               // files that were read in parallel
	names  []string
}

const sinkBlock = 1 << 20

func (s *folderSink) Put(ctx context.Context, f engine.File, r io.Reader) error {
	if s.before != nil {
		s.before(f.Name)
	}
	s.names = append(s.names, f.Name)
	path := filepath.Join(s.dir, f.Name)
	if f.Mode.IsDir() {
		return os.MkdirAll(path, 0o700)
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	at, ok := r.(io.ReaderAt)
	if !ok {
		if _, err := io.CopyN(out, r, f.Size); err != nil && err != io.EOF {
			return err
		}
		return out.Truncate(f.Size)
	}
	if f.Size > smallFile {
		s.random++
	}
	var group sync.WaitGroup
	errs := make([]error, 2)
	for w := range errs {
		group.Go(func() {
			p := directio.Block(sinkBlock)
			for off := int64(w) * sinkBlock; off < f.Size && errs[w] == nil; off += 2 * sinkBlock {
				want := int(min(sinkBlock, f.Size-off))
				n, err := at.ReadAt(p[:(want+directio.Align-1)/directio.Align*directio.Align], off)
				if err != nil && err != io.EOF {
					errs[w] = err
					return
				}
				_, errs[w] = out.WriteAt(p[:min(n, want)], off)
			}
		})
	}
	group.Wait()
	return errors.Join(append(errs, out.Truncate(f.Size))...)
}

// sql connects as a role.
func sql(t *testing.T, c *pgtest.Cluster, role string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), c.SocketURL(role))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func control(t *testing.T, dir string) datadir.Control {
	t.Helper()
	c, _, err := datadir.ReadControl(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// takeFiles takes a base by files.
func takeFiles(t *testing.T, c *pgtest.Cluster, sink engine.BaseSink) (*takenBase, *fileBase) {
	t.Helper()
	conn := sql(t, c, pgtest.Admin)
	dir, err := localDir(t.Context(), conn, c.Version, control(t, c.Dir).SystemID)
	if err != nil {
		t.Fatal(err)
	}
	b := &fileBase{conn: conn, dir: dir, major: c.Version, label: "a base", sink: sink, log: slog.New(slog.DiscardHandler)}
	taken, err := b.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return taken, b
}

// takeRemote takes a base over the replication protocol, with a role that may do no more.
func takeRemote(t *testing.T, c *pgtest.Cluster, sink engine.BaseSink) *takenBase {
	t.Helper()
	config, err := pgconn.ParseConfig(c.URL(pgtest.Backup))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := replication.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	clock := func(context.Context) (time.Time, error) { return time.Now(), nil }
	b := &remoteBase{conn: conn, sql: sql(t, c, pgtest.Admin), clock: clock, label: "a base", sink: sink, log: slog.New(slog.DiscardHandler)}
	taken, err := b.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

// long is for tests that need servers of their own.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
}

// verify compares a base with its manifest, which servers before 13 do not know, by stock pg_verifybackup where there is
// one that reads it: not every build of a server brings it along.
func verify(t *testing.T, c *pgtest.Cluster, dir string) {
	t.Helper()
	if c.Version < 13 {
		if _, err := os.Stat(filepath.Join(dir, datadir.ManifestName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("there is a manifest that no server of that version makes: %v", err)
		}
		return
	}
	if err := pgtest.Owner(t).Give(dir); err != nil {
		t.Fatal(err)
	}
	checkManifest(t, dir, c.Version, control(t, c.Dir).SystemID)
	programs := c.Programs
	if !programs.Has("pg_verifybackup") && c.Version <= 16 {
		programs = pgtest.Programs(t, pgtest.Default)
	}
	if programs.Has("pg_verifybackup") {
		if out, err := programs.Command(pgtest.Owner(t), "pg_verifybackup", "-n", dir).CombinedOutput(); err != nil {
			t.Fatalf("pg_verifybackup: %v\n%s", err, out)
		}
	}
}

// checkManifest does what pg_verifybackup does.
func checkManifest(t *testing.T, dir string, version int, systemID uint64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, datadir.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := datadir.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if (m.Version == 2) != (version >= 17) || m.Version == 2 && m.SystemID != systemID || len(m.Ranges) != 1 {
		t.Errorf("manifest version %d, system identifier %d, log %v", m.Version, m.SystemID, m.Ranges)
	}
	listed := map[string]bool{}
	for _, f := range m.Files {
		data, err := os.ReadFile(filepath.Join(dir, f.Path))
		if err != nil {
			t.Error(err)
		}
		if int64(len(data)) != f.Size || f.Algorithm != "CRC32C" || !bytes.Equal(f.Checksum, datadir.CRC32CChecksum(datadir.CRC32C(data))) {
			t.Errorf("%s has %d bytes with checksum %08x, the manifest says %d and %s %x", f.Path, len(data), datadir.CRC32C(data), f.Size, f.Algorithm, f.Checksum)
		}
		listed[f.Path] = true
	}
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, p); err == nil && d.Type().IsRegular() && !listed[name] && name != datadir.ManifestName {
			t.Errorf("%s is in no manifest", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// placeSpaces puts tablespaces elsewhere, as a restore does.
func placeSpaces(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, datadir.MapName))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	list, err2 := datadir.ParseTablespaces(string(text))
	if err := errors.Join(err, err2, os.Remove(filepath.Join(dir, datadir.MapName))); err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		link := filepath.Join(dir, "pg_tblspc", strconv.Itoa(int(s.OID)))
		to := filepath.Join(pgtest.Folder(t), "space")
		if err := errors.Join(os.Rename(link, to), os.Symlink(to, link), pgtest.Owner(t).Give(to)); err != nil {
			t.Fatal(err)
		}
	}
}

// recoverBase starts a server on a base that lies in dir, with the log of the server that it was taken of.
func recoverBase(t *testing.T, c *pgtest.Cluster, b *takenBase, dir string) *pgtest.Cluster {
	t.Helper()
	c.Exec(t, "select pg_switch_wal()")
	size := uint64(control(t, c.Dir).WALSegmentSize)
	entries, err := os.ReadDir(filepath.Join(c.Dir, "pg_wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		_, start, err := wal.ParseSegmentName(e.Name(), size)
		if err != nil || start+wal.LSN(size) <= b.start {
			continue
		}
		data, err := os.ReadFile(filepath.Join(c.Dir, "pg_wal", e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "pg_wal", e.Name()), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// A base of Debian's kind has its configuration elsewhere.
	for _, name := range []string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf"} {
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(filepath.Join(dir, configFolder, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := pgtest.Opened(t, c.Version, dir, map[string]string{"hba_file": filepath.Join(dir, "pg_hba.conf"),
		"ident_file": filepath.Join(dir, "pg_ident.conf"), "archive_mode": "off"})
	r.Start(t)
	return r
}

// TestABaseIsWhole takes bases of a server of each version in both ways, while it is written to.
func TestABaseIsWhole(t *testing.T) {
	for _, version := range pgtest.Versions(t) {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			c := pgtest.New(t, pgtest.Options{Version: version, Checksums: true, Debian: version%2 == 1})
			c.Exec(t, "create tablespace elsewhere location '"+pgtest.Folder(t)+"'")
			c.Exec(t, `create table spaced tablespace elsewhere as select i, repeat('x', 300) t from generate_series(1, 20000) i;
				create table big as select i, md5(i::text) t from generate_series(1, 60000) i;
				create unlogged table fleeting as select 1 as i`)
			checkControl(t, c)
			l := pgtest.NewLedger(t, c, 2)
			t.Run("files", func(t *testing.T) {
				testABaseIsWhole(t, c, l, func(s *folderSink) *takenBase {
					taken, _ := takeFiles(t, c, s)
					return taken
				})
			})
			t.Run("stream", func(t *testing.T) {
				testABaseIsWhole(t, c, l, func(s *folderSink) *takenBase { return takeRemote(t, c, s) })
			})
		})
	}
}

func testABaseIsWhole(t *testing.T, c *pgtest.Cluster, l *pgtest.Ledger, take func(*folderSink) *takenBase) {
	stop := l.Run(time.Millisecond)
	committed(t, l, 20)
	sink := &folderSink{dir: pgtest.Folder(t)}
	b := take(sink)
	acked := l.Acked()
	stop()
	l.Settle(t)

	if b.start >= b.stop || b.startLine != 1 || b.stopLine != 1 {
		t.Errorf("the base is from %s on %d to %s on %d", b.start, b.startLine, b.stop, b.stopLine)
	}
	if n := b.damage.Pages(); n != 0 || b.said != "" {
		t.Errorf("damage in a sound server: %q, %s", b.damage.Lines(), b.said)
	}
	if !b.startTime.Before(b.stopTime) {
		t.Errorf("from %s to %s", b.startTime, b.stopTime)
	}
	placeSpaces(t, sink.dir)
	verify(t, c, sink.dir)
	unlogged := c.Ask(t, "select pg_relation_filepath('fleeting')")
	if _, err := os.Stat(filepath.Join(sink.dir, unlogged)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unlogged relation is in the base: %v", err)
	}

	r := recoverBase(t, c, b, sink.dir)
	stand, err := l.Stand(t.Context(), r.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := stand[0] + stand[1]; n < acked {
		t.Errorf("%d commits were recovered, %d were answered before the base ended", n, acked)
	}
	for table, want := range map[string]string{"spaced": "20000", "big": "60000", "fleeting": "0"} {
		if got := r.Ask(t, "select count(*) from "+table); got != want {
			t.Errorf("%s has %s rows, want %s", table, got, want)
		}
	}
}

// checkControl compares our reading of pg_control with the server's own.
func checkControl(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	got := control(t, c.Dir)
	text := fmt.Sprint(got.SystemID, " ", got.Version, " ", got.CatalogVersion, " ", got.Checkpoint, " ", got.Redo, " ", got.Timeline, " ", got.FullPageWrites,
		" ", got.BlockSize, " ", got.SegmentBlocks, " ", got.WALSegmentSize, " ", got.DataChecksums, " ", got.State, " ", got.WALLevel,
		" ", got.MaxConnections, " ", got.MaxWorkers, " ", got.MaxWALSenders, " ", got.MaxPrepared, " ", got.MaxLocks, " ", got.TrackCommitTime)
	want := c.Ask(t, `select concat_ws(' ', system_identifier, pg_control_version, catalog_version_no, checkpoint_lsn, redo_lsn, timeline_id, full_page_writes::text,
		database_block_size, blocks_per_segment, bytes_per_wal_segment, data_page_checksum_version, 'in production', current_setting('wal_level'),
		current_setting('max_connections'), current_setting('max_worker_processes'), current_setting('max_wal_senders'),
		current_setting('max_prepared_transactions'), current_setting('max_locks_per_transaction'), (current_setting('track_commit_timestamp') = 'on')::text)
		from pg_control_system(), pg_control_checkpoint(), pg_control_init()`)
	if text != want {
		t.Errorf("pg_control says\n%s, the server\n%s", text, want)
	}
}

func TestPagesAreVerifiedAndFilesReadInParallel(t *testing.T) {
	long(t)
	c := pgtest.New(t, pgtest.Options{Checksums: true})
	c.Exec(t, "create table big as select i, md5(i::text) t from generate_series(1, 60000) i")
	sink := &folderSink{dir: pgtest.Folder(t)}
	_, b := takeFiles(t, c, sink)
	if sink.random == 0 {
		t.Error("no file could be read in parallel")
	}
	if pages, _, _ := b.checker.Checked(); pages < 1000 {
		t.Errorf("%d pages were verified", pages)
	}
	if sink.names[len(sink.names)-1] != datadir.ManifestName || slices.Index(sink.names, datadir.ControlName) < len(sink.names)-4 {
		t.Errorf("the base ends with %q", sink.names[len(sink.names)-4:])
	}
}

func TestDamageIsNamed(t *testing.T) {
	long(t)
	c := pgtest.New(t, pgtest.Options{Checksums: true})
	c.Exec(t, "create table big as select i, md5(i::text) t from generate_series(1, 60000) i", "checkpoint")
	file := c.Ask(t, "select pg_relation_filepath('big')")
	c.Stop(t)
	damage(t, filepath.Join(c.Dir, file), 5*8192+4000)
	damage(t, filepath.Join(c.Dir, file), 6*8192+5000)
	damage(t, filepath.Join(c.Dir, file), 300*8192+8000)
	c.Start(t)
	for _, way := range []string{"files", "stream"} {
		t.Run(way, func(t *testing.T) {
			sink := &folderSink{dir: pgtest.Folder(t)}
			var b *takenBase
			if way == "files" {
				b, _ = takeFiles(t, c, sink)
			} else {
				b = takeRemote(t, c, sink)
				if b.said == "" {
					t.Error("the server's own word is lost")
				}
			}
			want := []string{file + ": wrong page checksum in block 5-6, 300"}
			if got := b.damage.Lines(); !slices.Equal(got, want) {
				t.Errorf("damage is %q, want %q", got, want)
			}
			if r, err := b.result("1", 16<<20, engine.BaseOptions{}); err != nil || !slices.Equal(r.Damage, want) || r.Base.DamagedPages != 3 {
				t.Errorf("the result says %q and %d pages, %v", r.Damage, r.Base.DamagedPages, err)
			}
			verify(t, c, sink.dir) // what was stored is what was read
		})
	}
}

func damage(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

func TestABaseOfAStandby(t *testing.T) {
	long(t)
	c := pgtest.New(t, pgtest.Options{Checksums: true})
	l := pgtest.NewLedger(t, c, 1)
	s := c.Standby(t, "s")
	s.Exec(t, "select pg_create_physical_replication_slot('keep', true)")
	stop := l.Run(time.Millisecond)
	committed(t, l, 20)
	s.CatchUp(t)
	s.Exec(t, "checkpoint")
	sink := &folderSink{dir: pgtest.Folder(t)}
	b, _ := takeFiles(t, s, sink)
	stop()
	l.Settle(t)
	verify(t, s, sink.dir)
	if _, err := os.Stat(filepath.Join(sink.dir, "standby.signal")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the base is a standby: %v", err)
	}
	r := recoverBase(t, c, b, sink.dir)
	if _, err := l.Stand(t.Context(), r.Connect(t)); err != nil {
		t.Error(err)
	}
}

func TestOnlyTheServersOwnFolderIsRead(t *testing.T) {
	long(t)
	c := pgtest.New(t, pgtest.Options{})
	s := c.Standby(t, "s")
	conn := sql(t, c, pgtest.Admin)
	if err := proveSnapshot(t.Context(), conn, c.Dir); err != nil {
		t.Errorf("its own folder: %v", err)
	}
	if err := proveSnapshot(t.Context(), sql(t, s, pgtest.Admin), s.Dir); err != nil {
		t.Errorf("a standby's own folder: %v", err)
	}
	if err := proveSnapshot(t.Context(), conn, s.Dir); !errors.Is(err, errElsewhere) {
		t.Errorf("the standby's folder: %v", err)
	}
	if _, err := localDir(t.Context(), conn, c.Version, 1); !errors.Is(err, errElsewhere) {
		t.Errorf("another cluster: %v", err)
	}
	if _, err := localDir(t.Context(), sql(t, c, pgtest.Backup), c.Version, control(t, c.Dir).SystemID); !errors.Is(err, errElsewhere) {
		t.Errorf("a role without rights: %v", err)
	}
}
