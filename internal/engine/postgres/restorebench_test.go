//go:build unix

package postgres

import (
	"cmp"
	"context"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// fileLog is log in the segment files of a folder.
type fileLog struct {
	dir     string
	size    uint64
	from    wal.LSN
	to      wal.LSN
	entries []engine.LogEntry
}

func (l *fileLog) Segments() []history.Segment {
	return []history.Segment{{Name: "all", From: position(1, l.from), To: position(1, l.to)}}
}

func (l *fileLog) Open(context.Context, int) (engine.LogSegment, error) { return l, nil }

func (l *fileLog) Entries() []engine.LogEntry { return l.entries }

func (l *fileLog) Read(_ context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	return os.Open(filepath.Join(l.dir, e.File))
}

func (l *fileLog) Marks(context.Context) iter.Seq2[history.Mark, error] {
	return func(func(history.Mark, error) bool) {}
}

func (l *fileLog) Close() error { return nil }

// BenchmarkReplay replays what pgbench wrote, MB of log from BACKSTAY_BENCH_LOG (256) on a database of the scale
// BACKSTAY_BENCH_SCALE (20), served by us and by restore_command=cp with the same settings and with other buffers, from
// the start of the server to its clean end.
func BenchmarkReplay(b *testing.B) {
	megabytes, err := strconv.Atoi(os.Getenv("BACKSTAY_BENCH_LOG"))
	if err != nil {
		megabytes = 256
	}
	c := pgtest.New(b, pgtest.Options{Checksums: true, Settings: map[string]string{"wal_keep_size": "64GB", "shared_buffers": "512MB", "max_wal_size": "4GB"}})
	w := &world{cluster: c, size: wal.DefaultSegmentSize, rows: map[uint32]int{}}
	bench := func(arguments ...string) {
		cmd := exec.Command(filepath.Join(c.Programs.Dir, "pgbench"), append(arguments, c.SocketURL(pgtest.Admin))...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("pgbench: %v\n%s", err, out)
		}
	}
	scale := cmp.Or(os.Getenv("BACKSTAY_BENCH_SCALE"), "20")
	bench("-i", "-s", scale, "-q")
	w.take(b, nil)
	for c.LSN(b)-w.start < wal.LSN(megabytes)<<20 {
		bench("-n", "-c", "4", "-j", "2", "-T", "5")
	}
	l := &fileLog{dir: filepath.Join(c.Dir, "pg_wal"), size: w.size, from: w.start.SegmentStart(w.size), to: c.LSN(b)}
	for at := l.from; at < l.to; at += wal.LSN(l.size) {
		l.entries = append(l.entries, engine.LogEntry{File: wal.SegmentName(1, at, l.size), Size: int64(min(wal.LSN(l.size), l.to-at))})
	}
	b.Run("served", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			dir := w.lay(b)
			b.StartTimer()
			if _, err := (restorer{}).Replay(b.Context(), dir, l, engine.Goal{}); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(l.to - l.from))
		}
	})
	b.Run("cp", func(b *testing.B) { w.benchCopied(b, l, "") })
	for _, buffers := range []string{"16MB", "128MB", "512MB", "1GB", "2GB"} {
		b.Run("cp, shared_buffers "+buffers, func(b *testing.B) { w.benchCopied(b, l, buffers) })
	}
}

// childSeconds is the processor time of all children that have ended.
func childSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// benchCopied replays with restore_command=cp.
func (w *world) benchCopied(b *testing.B, l *fileLog, buffers string) {
	before := childSeconds(b)
	defer func() { b.ReportMetric((childSeconds(b)-before)/float64(b.N), "cpu-s/op") }()
	for b.Loop() {
		b.StopTimer()
		dir := w.lay(b)
		f, err := readFacts(dir)
		if err != nil {
			b.Fatal(err)
		}
		p := &replay{facts: f, spaces: newSpaces(f, nil)}
		if err := p.prepare(); err != nil {
			b.Fatal(err)
		}
		settings := f.replaySettings(1)
		settings["restore_command"] = "cp " + l.dir + "/%f %p"
		if buffers != "" {
			settings["shared_buffers"] = buffers
		}
		b.StartTimer()
		s, err := server.Start(b.Context(), server.Config{Programs: f.programs, Dir: f.dir, User: f.user, Settings: settings})
		if err == nil {
			err = s.Ready(b.Context())
		}
		if err == nil {
			err = s.Stop(b.Context(), server.Fast)
		}
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		b.SetBytes(int64(l.to - l.from))
	}
}
