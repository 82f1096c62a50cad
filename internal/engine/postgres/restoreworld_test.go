//go:build unix

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// world is a server, a base of it taken by hand, and the log that it wrote since, taken from its own pg_wal.
type world struct {
	cluster *pgtest.Cluster
	size    uint64 // of segment files
	base    string // a copy of the data directory as a base lays it
	start   wal.LSN
	stop    wal.LSN
	rows    map[uint32]int // number of rows after the commit of a transaction
	n       int
}

func newWorld(t *testing.T, o pgtest.Options) *world {
	t.Helper()
	if o.Settings == nil {
		o.Settings = map[string]string{}
	}
	if o.Version == 12 {
		o.Settings["wal_keep_segments"] = "2000"
	} else {
		o.Settings["wal_keep_size"] = "2GB"
	}
	o.Initdb = append(o.Initdb, "--wal-segsize=1")
	o.Checksums = true
	w := &world{cluster: pgtest.New(t, o), size: 1 << 20, rows: map[uint32]int{}}
	w.cluster.Exec(t, "create table ledger(n bigint primary key, filler text)")
	return w
}

// commit adds rows, each in a transaction of its own, with so many bytes.
func (w *world) commit(t *testing.T, times, size int) {
	t.Helper()
	conn := w.cluster.Connect(t)
	for range times {
		w.n++
		var xid uint64
		err := conn.QueryRow(t.Context(), "insert into ledger select $1::bigint, (select string_agg(md5(g::text||$1::bigint::text), '') from generate_series(1, $2::int / 32) g) returning txid_current()::text::bigint", w.n, size).Scan(&xid)
		if err != nil {
			t.Fatal(err)
		}
		w.rows[uint32(xid)] = w.n
	}
}

// take takes a base. during runs while it is being taken.
func (w *world) take(t testing.TB, during func()) {
	t.Helper()
	conn := w.cluster.Connect(t)
	var text string
	start, stop := "select pg_backup_start('test', true)::text", "select lsn::text, labelfile, spcmapfile from pg_backup_stop()"
	if w.cluster.Version < 15 {
		start, stop = "select pg_start_backup('test', true, false)::text", "select lsn::text, labelfile, spcmapfile from pg_stop_backup(false, true)"
	}
	if err := conn.QueryRow(t.Context(), start).Scan(&text); err != nil {
		t.Fatal(err)
	}
	w.base = t.TempDir()
	w.copy(t)
	if during != nil {
		during()
	}
	var label, spaces string
	if err := conn.QueryRow(t.Context(), stop).Scan(&text, &label, &spaces); err != nil {
		t.Fatal(err)
	}
	l, err := datadir.ParseLabel(label)
	if err != nil {
		t.Fatal(err)
	}
	w.start = wal.LSN(l.Start)
	if w.stop, err = wal.ParseLSN(text); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{datadir.LabelName: label, datadir.MapName: spaces} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(w.base, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// copy copies what belongs to a base, tablespaces by following their links.
func (w *world) copy(t testing.TB) {
	t.Helper()
	var walk func(name string)
	walk = func(name string) {
		entries, err := os.ReadDir(filepath.Join(w.cluster.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			sub := filepath.Join(name, e.Name())
			info, err := os.Stat(filepath.Join(w.cluster.Dir, sub))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case info.IsDir() && datadir.HasFolder(sub):
				if err := os.MkdirAll(filepath.Join(w.base, sub), 0o700); err != nil {
					t.Fatal(err)
				}
				if datadir.KeepsFolder(sub) {
					walk(sub)
				}
			case info.Mode().IsRegular() && datadir.KeepsFile(sub):
				b, err := os.ReadFile(filepath.Join(w.cluster.Dir, sub))
				if err == nil {
					err = os.WriteFile(filepath.Join(w.base, sub), b, 0o600)
				}
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
		}
	}
	walk("")
}

// lay copies the base to a new folder, as recovery does: as ourselves, readable for nobody else.
func (w *world) lay(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(pgtest.Place(t), "restored")
	if err := os.CopyFS(dir, os.DirFS(w.base)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// log captures what a timeline wrote since the base, in segments of about n bytes that end at records.
func (w *world) log(t *testing.T, n int) *memLog {
	t.Helper()
	l := &memLog{}
	w.capture(t, l, w.cluster.Dir, 1, w.start.SegmentStart(w.size), w.cluster.LSN(t), n)
	return l
}

func (w *world) capture(t *testing.T, l *memLog, dir string, timeline uint32, from, to wal.LSN, n int) {
	t.Helper()
	var marks []history.Mark
	cuts := []wal.LSN{}
	last := from
	s := wal.NewScanner(from, wal.Options{SegmentSize: w.size, Verify: true,
		Each: func(r wal.Record) {
			if r.End-last >= wal.LSN(n) {
				cuts, last = append(cuts, r.End), r.End
			}
		},
		Event: func(e wal.Event) {
			switch e.Kind {
			case wal.Commit:
				marks = append(marks, history.Mark{Position: position(timeline, e.Record.End), Time: e.Time, XID: uint64(e.XID)})
			case wal.RestorePoint:
				marks = append(marks, history.Mark{Position: position(timeline, e.Record.End), Time: e.Time, Name: e.Name})
			}
		}})
	var all []byte
	for at := from.SegmentStart(w.size); at < to; at += wal.LSN(w.size) {
		b, err := os.ReadFile(filepath.Join(dir, "pg_wal", wal.SegmentName(timeline, at, w.size)))
		if err != nil {
			t.Fatal(err)
		}
		b = b[:min(len(b), int(to-at))]
		if at < from {
			b = b[from-at:]
		}
		all = append(all, b...)
	}
	if err := s.Feed(all); err != nil {
		var end *wal.EndError
		if !errors.As(err, &end) || !end.Zeros {
			t.Fatal(err)
		}
	}
	if b := s.Boundary(); len(cuts) == 0 || cuts[len(cuts)-1] != b {
		cuts = append(cuts, b)
	}
	at := from
	for _, cut := range cuts {
		l.add(w.size, timeline, at, cut, all[at-from:cut-from], marks)
		at = cut
	}
}

// memLog is log in memory.
type memLog struct {
	segments []history.Segment
	parts    []*memSegment

	mu   sync.Mutex
	open func(i int) error // before a segment is opened, one at a time; may be nil
}

type memSegment struct {
	entries []engine.LogEntry
	data    [][]byte
	marks   []history.Mark
}

func (l *memLog) add(size uint64, timeline uint32, from, to wal.LSN, data []byte, marks []history.Mark) {
	s := &memSegment{}
	for at := from; at < to; {
		end := min(to, at.SegmentStart(size)+wal.LSN(size))
		s.entries = append(s.entries, engine.LogEntry{File: wal.SegmentName(timeline, at, size), Offset: int64(at - at.SegmentStart(size)), Size: int64(end - at)})
		s.data = append(s.data, bytes.Clone(data[at-from:end-from]))
		at = end
	}
	h := history.Segment{Name: fmt.Sprintf("%d-%s", timeline, to), From: position(timeline, from), To: position(timeline, to), Bytes: int64(to - from)}
	for _, m := range marks {
		if m.Position.Seq > uint64(from) && m.Position.Seq <= uint64(to) {
			s.marks = append(s.marks, m)
			h.Commits++
			h.Until = m.Time
		}
	}
	l.segments, l.parts = append(l.segments, h), append(l.parts, s)
}

func (l *memLog) marks() (all []history.Mark) {
	for _, p := range l.parts {
		all = append(all, p.marks...)
	}
	return all
}

func (l *memLog) Segments() []history.Segment { return l.segments }

func (l *memLog) Open(_ context.Context, i int) (engine.LogSegment, error) {
	if l.open != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err := l.open(i); err != nil {
			return nil, err
		}
	}
	return l.parts[i], nil
}

func (s *memSegment) Entries() []engine.LogEntry { return s.entries }

func (s *memSegment) Read(_ context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	for i, own := range s.entries {
		if own == e {
			return io.NopCloser(bytes.NewReader(s.data[i])), nil
		}
	}
	return nil, fs.ErrNotExist
}

func (s *memSegment) Marks(context.Context) iter.Seq2[history.Mark, error] {
	return func(yield func(history.Mark, error) bool) {
		for _, m := range s.marks {
			if !yield(m, nil) {
				return
			}
		}
	}
}

func (s *memSegment) Close() error { return nil }

// plain starts what was restored with nothing of ours: pg_ctl and the data's own configuration.
func (w *world) plain(t *testing.T, dir string) *pgx.Conn {
	t.Helper()
	owner, err := server.Owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	sockets := pgtest.Folder(t)
	ctl := func(arguments ...string) {
		t.Helper()
		cmd := w.cluster.Programs.Command(owner, "pg_ctl", append([]string{"-D", dir, "-w", "-t", "60", "-l", filepath.Join(sockets, "log")}, arguments...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			log, _ := os.ReadFile(filepath.Join(sockets, "log"))
			t.Fatalf("pg_ctl %s: %v\n%s\n%s", strings.Join(arguments, " "), err, out, log)
		}
	}
	ctl("-o", "-k "+sockets+" -c listen_addresses= -p 5432", "start")
	t.Cleanup(func() { ctl("-m", "immediate", "stop") })
	return connectSocket(t, sockets)
}

func connectSocket(t *testing.T, sockets string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), "postgres://postgres@/postgres?port=5432&host="+sockets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // its server may be gone
	})
	return conn
}

// requireRows demands that the ledger has exactly rows 1 to n.
func requireRows(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	var count, highest int
	if err := conn.QueryRow(t.Context(), "select count(*), coalesce(max(n), 0) from ledger").Scan(&count, &highest); err != nil {
		t.Fatal(err)
	}
	if count != n || highest != n {
		t.Errorf("restored %d rows up to %d, want %d", count, highest, n)
	}
}

// at is the number of rows at a position.
func (w *world) at(l *memLog, p wal.LSN) (n int) {
	for _, m := range l.marks() {
		if rows, ok := w.rows[uint32(m.XID)]; ok && m.Position.Seq <= uint64(p) {
			n = max(n, rows)
		}
	}
	return n
}

// restored lays the base and replays to a position.
func (w *world) restored(t *testing.T, l engine.Log, to history.Position) (string, engine.Reached) {
	t.Helper()
	dir := w.lay(t)
	r, err := restorer{}.Replay(t.Context(), dir, l, engine.Goal{Position: to})
	if err != nil {
		t.Fatalf("Replay to %s: %v", to, err)
	}
	if !r.Position.Equal(to) {
		t.Fatalf("reached %s, want %s", r.Position, to)
	}
	return dir, r
}
