//go:build unix

package sqlite

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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
