//go:build unix

package sqlite

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// TestMeasure prints how late stamps and shipments are and what following costs, at 500 commits a second and idle. Set
// BACKSTAY_MEASURE to run it.
func TestMeasure(t *testing.T) {
	if os.Getenv("BACKSTAY_MEASURE") == "" {
		t.Skip("BACKSTAY_MEASURE is not set")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	w := startWriter(t, path, strings.Fields("--seconds 22 --rate 500")...)
	s := connect(t, path)
	sink := &enginetest.Sink{}
	res, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink)
	if err != nil {
		t.Fatal(err)
	}
	rec := enginetest.NewRecorder(res.Bookmark)
	f := enginetest.Follow(t, s, rec)
	time.Sleep(time.Second)
	cpu, start := cpuTime(), time.Now()
	before, _, calls := rec.Counts()
	time.Sleep(20 * time.Second)
	after, _, calls2 := rec.Counts()
	t.Logf("at %.0f commits/s: %.2f %% of a core, %.0f shipments/s", float64(after-before)/20, 100*(cpuTime()-cpu).Seconds()/time.Since(start).Seconds(), float64(calls2-calls)/20)
	w.wait(t)
	enginetest.Settled(t, enginetest.Harness{Settle: time.Second}, rec)

	ledger := w.entries(t)
	marks, arrived := rec.Marks()
	offset := len(ledger) - len(marks) // the last mark is the last commit
	var stamps, lags []time.Duration
	for i, m := range marks {
		if j := i + offset; j >= 0 {
			stamps = append(stamps, m.Time.Sub(ledger[j].After))
			lags = append(lags, arrived[i].Sub(ledger[j].After))
		}
	}
	t.Logf("stamps after commit: %s", quantiles(stamps))
	t.Logf("shipped after commit: %s", quantiles(lags))
	t.Logf("%+v", s.Counters())
	time.Sleep(2 * time.Second)
	cpu, start = cpuTime(), time.Now()
	time.Sleep(10 * time.Second)
	idle := 100 * (cpuTime() - cpu).Seconds() / time.Since(start).Seconds()
	f.Stop()
	marks, arrived, sink, rec = nil, nil, nil, nil
	runtime.GC()
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") {
			t.Log(line)
		}
	}
	t.Logf("idle: %.2f %% of a core", idle)
}

// diskSink writes a base as a store on this host does.
type diskSink struct{ dir string }

func (d diskSink) Put(ctx context.Context, f engine.File, r io.Reader) error {
	w, err := directio.Create(filepath.Join(d.dir, f.Name), 0o600)
	if err != nil {
		return err
	}
	at := r.(io.ReaderAt)
	const block = 1 << 20
	b := directio.Block(block)
	for off := int64(0); off < f.Size; off += block {
		n, err := at.ReadAt(b, off)
		if err != nil && err != io.EOF {
			return err
		}
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
	}
	if err := w.Sync(); err != nil {
		return err
	}
	return w.Close()
}

// TestMeasureBase compares a base with VACUUM INTO while 500 commits a second run.
func TestMeasureBase(t *testing.T) {
	if os.Getenv("BACKSTAY_MEASURE") == "" {
		t.Skip("BACKSTAY_MEASURE is not set")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := open(path, "mode=rwc&_pragma=journal_mode(wal)&_pragma=synchronous(0)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE bulk(id INTEGER PRIMARY KEY, b BLOB); WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<500000) INSERT INTO bulk SELECT i, randomblob(3900) FROM c; PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	w := startWriter(t, path, strings.Fields("--seconds 60 --rate 500")...)
	s := connect(t, path)
	res, err := s.TakeBase(t.Context(), engine.BaseOptions{}, diskSink{t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	rec := enginetest.NewRecorder(res.Bookmark)
	f := enginetest.Follow(t, s, rec)
	for round := range 2 {
		time.Sleep(3 * time.Second)
		start := time.Now()
		if _, err := s.TakeBase(t.Context(), engine.BaseOptions{}, diskSink{t.TempDir()}); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		t.Logf("round %d: base of %d MB: %s; commits %s", round, res.Base.Bytes>>20, took, latencies(w.entries(t), start, took))
		time.Sleep(3 * time.Second)
		start = time.Now()
		time.Sleep(3 * time.Second)
		t.Logf("round %d: nothing: commits %s", round, latencies(w.entries(t), start, time.Since(start)))
		start = time.Now()
		if out, err := exec.Command("python3", "-c", "import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))", path, filepath.Join(t.TempDir(), "v.db")).CombinedOutput(); err != nil {
			t.Fatal(err, string(out))
		}
		took = time.Since(start)
		t.Logf("round %d: VACUUM INTO: %s; commits %s", round, took, latencies(w.entries(t), start, took))
	}
	f.Stop()
	w.kill()
}

func latencies(ledger []enginetest.Entry, start time.Time, took time.Duration) string {
	var d []time.Duration
	for _, e := range ledger {
		if e.Before.After(start) && e.Before.Before(start.Add(took)) {
			d = append(d, e.After.Sub(e.Before))
		}
	}
	return quantiles(d)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func quantiles(d []time.Duration) string {
	slices.Sort(d)
	at := func(q float64) string { return d[int(q*float64(len(d)-1))].Round(10 * time.Microsecond).String() }
	return "p50 " + at(.5) + ", p99 " + at(.99) + ", p99.9 " + at(.999) + ", max " + at(1)
}
