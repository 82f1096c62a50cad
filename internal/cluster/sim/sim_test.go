package sim

import (
	"errors"
	"flag"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

var (
	count = flag.Int("failovers", 0, "how many failovers to simulate; 0: 10000, with -short 1000, in a soak run 100000")
	from  = flag.Uint64("seed", 1, "first seed")
	one   = flag.Bool("one", false, "run the one seed, and print what happened")
	most  = flag.Int("seeds", 1000, "how many seeds may pass before a planted bug counts as missed")
	bug   = flag.String("bug", "", "leave this fence out (with -one)")
)

// runs runs seeds on every core until enough says so, and returns the sum and the first broken promise of the lowest seed.
func runs(opt Options, enough func(Stats, int) bool) (Stats, *Error) {
	var (
		mu     sync.Mutex
		wait   sync.WaitGroup
		next   = opt.Seed
		sum    = Stats{Rows: map[string]int{}}
		seeds  int
		broken *Error
	)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for {
				mu.Lock()
				if broken != nil || enough(sum, seeds) {
					mu.Unlock()
					return
				}
				o := opt
				o.Seed = next
				next++
				mu.Unlock()
				stats, err := Run(o)
				mu.Lock()
				seeds++
				sum.add(stats)
				var e *Error
				if errors.As(err, &e) && (broken == nil || e.Options.Seed < broken.Options.Seed) {
					broken = e
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return sum, broken
}

func (s *Stats) add(t Stats) {
	s.Failovers += t.Failovers
	s.Events += t.Events
	s.Acked += t.Acked
	s.Reads += t.Reads
	s.Lost += t.Lost
	s.Fetched += t.Fetched
	s.Resigned += t.Resigned
	s.Released += t.Released
	s.Away += t.Away
	s.Replaced += t.Replaced
	s.Virtual += t.Virtual
	s.Gaps = append(s.Gaps, t.Gaps...)
	for row, n := range t.Rows {
		s.Rows[row] += n
	}
}

// explain runs a seed again and tells what led to the end.
func explain(t *testing.T, e *Error) {
	t.Helper()
	o := e.Options
	o.Trace = true
	var again *Error
	if _, err := Run(o); errors.As(err, &again) {
		e = again
	}
	t.Fatalf("%v\n%s", e, e.History())
}

func TestOneSeed(t *testing.T) {
	if !*one {
		t.Skip("for people: -one -seed N, perhaps with -bug")
	}
	stats, err := Run(Options{Seed: *from, Rounds: 20, Bug: *bug, Mode: Bugs[*bug].Mode, Faults: Bugs[*bug].Faults, Trace: true})
	var e *Error
	if errors.As(err, &e) {
		t.Fatalf("%v\n%s", e, e.History())
	}
	t.Log(stats.Failovers, "failovers", stats.Gaps, "\n"+stats.History)
}

// TestNoSplitBrainNoLostWrite is the proof of the design: thousands of failovers, no broken promise, every row of the table taken.
func TestNoSplitBrainNoLostWrite(t *testing.T) {
	want := *count
	switch {
	case want > 0:
	case os.Getenv("BACKSTAY_SOAK") != "":
		want = 100_000
	case testing.Short():
		want = 1000
	default:
		want = 10_000
	}
	began := time.Now()
	sum, broken := runs(Options{Seed: *from, Rounds: 20}, func(s Stats, _ int) bool { // some rows come up twice in ten thousand
		return s.Failovers >= want && (want < 10_000 || len(untaken(s)) == 0 || s.Failovers >= 5*want)
	})
	if broken != nil {
		explain(t, broken)
	}
	if sum.Acked < sum.Failovers || sum.Reads < sum.Failovers {
		t.Errorf("%d writes and %d reads in %d failovers: the clients were asleep", sum.Acked, sum.Reads, sum.Failovers)
	}
	if sum.Fetched == 0 {
		t.Error("no candidate took anything from the repository")
	}
	slices.Sort(sum.Gaps)
	t.Logf("%d entries were fetched from the repository", sum.Fetched)
	t.Logf("%d failovers in %s (%s simulated), %d acknowledged writes, %d reads; where replication is asynchronous %d lost within the bound, %d times a person had to accept; longest gap p50 %s p99 %s",
		sum.Failovers, time.Since(began).Round(time.Millisecond), sum.Virtual.Round(time.Hour), sum.Acked, sum.Reads, sum.Lost, sum.Resigned,
		sum.Gaps[len(sum.Gaps)/2].Round(time.Millisecond), sum.Gaps[len(sum.Gaps)*99/100].Round(time.Millisecond))
	if want >= 10_000 {
		for _, row := range untaken(sum) {
			t.Errorf("row %q was never taken", row)
		}
		for _, row := range slices.Sorted(maps.Keys(sum.Rows)) {
			t.Logf("%8d  %s", sum.Rows[row], row)
		}
	}
}

// untaken are rows of the table that no run took.
func untaken(s Stats) (rows []string) {
	for _, row := range cluster.Rows() {
		if s.Rows[row] == 0 && row != "leave to people" { // the simulated people leave it to the table
			rows = append(rows, row)
		}
	}
	return rows
}

// TestRareFaultsBreakNothing: what only a script brings about.
func TestRareFaultsBreakNothing(t *testing.T) {
	want := 1500
	if testing.Short() {
		want = 150
	}
	var names []string
	for _, f := range rare {
		names = append(names, f.name)
	}
	sum, broken := runs(Options{Seed: *from, Rounds: 20, Faults: names}, func(s Stats, _ int) bool { return s.Failovers >= want })
	if broken != nil {
		explain(t, broken)
	}
	if sum.Rows["try again"] == 0 {
		t.Error("no promotion was given up")
	}
	if sum.Released == 0 || sum.Released < sum.Resigned/2 { // other faults may keep a ballot where it is
		t.Errorf("a person released %d of %d ballots", sum.Released, sum.Resigned)
	}
	if sum.Replaced == 0 || sum.Replaced < sum.Away/4 { // who is left may be one that is never promoted
		t.Errorf("%d of %d primaries were replaced while a standby was away", sum.Replaced, sum.Away)
	}
	t.Logf("a person released %d of %d ballots; %d of %d primaries were replaced while a standby was away", sum.Released, sum.Resigned, sum.Replaced, sum.Away)
}

// TestUnboundedClocks: nothing that a client was told is committed rests on a clock, where replication is synchronous.
func TestUnboundedClocks(t *testing.T) {
	want := 2000
	if testing.Short() {
		want = 300
	}
	if _, broken := runs(Options{Seed: 1 << 20, Rounds: 20, Unbounded: true}, func(s Stats, _ int) bool { return s.Failovers >= want }); broken != nil {
		explain(t, broken)
	}
}

// TestASeedIsOneHistory: the same seed gives the same run, or nothing that is found could be looked at.
func TestASeedIsOneHistory(t *testing.T) {
	a, _ := Run(Options{Seed: 5, Rounds: 10})
	b, _ := Run(Options{Seed: 5, Rounds: 10})
	if a.Events != b.Events || a.Acked != b.Acked || a.Virtual != b.Virtual || a.Events == 0 {
		t.Errorf("%d events %d writes %s, then %d %d %s", a.Events, a.Acked, a.Virtual, b.Events, b.Acked, b.Virtual)
	}
}

// TestEveryFenceIsNeeded leaves out one fence at a time. Each must be missed.
func TestEveryFenceIsNeeded(t *testing.T) {
	for name, b := range Bugs {
		t.Run(name, func(t *testing.T) {
			sum, broken := runs(Options{Seed: max(b.Seed, 1), Rounds: 20, Bug: name, Mode: b.Mode, Faults: b.Faults}, func(_ Stats, seeds int) bool { return seeds >= *most })
			if broken == nil {
				t.Fatalf("%s: not noticed in %d failovers", b.What, sum.Failovers)
			}
			t.Logf("%s: found at seed %d: %v", b.What, broken.Options.Seed, broken.Cause)
		})
	}
}
