package ha

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/test/ha/check"
)

const (
	sessions = 50                     // that work while the primary is changed as planned
	pausing  = 250 * time.Millisecond // is the goal, for 99 of 100 planned changes
)

// TestPlannedPause changes the primary as planned, again and again, while fifty sessions that logged in with SCRAM run transactions
// through two listeners. None may fail. BACKSTAY_SOAK has it changed a hundred times, BACKSTAY_HA_ROUNDS as often as it says; a run
// on a machine that does nothing else prints what docs/benchmarks.md tells.
func TestPlannedPause(t *testing.T) {
	s := newSite(t, plan{failover: `{ mode: automatic, after: 1s, max_loss: 0B }`})
	s.whole(time.Minute)
	c := s.gatherMany(sessions)
	defer c.leave()
	var pauses, slowest check.Figures
	for range rounds(nemesis{rounds: 3, goal: pausing}) {
		pause, wait, ok := s.pause(t, c)
		pauses, slowest = append(pauses, pause), append(slowest, wait)
		if !ok {
			t.Log(s.said())
			break
		}
	}
	t.Logf("planned change, %d sessions: nobody was answered for: %s (goal: p99 %s)", sessions, pauses, pausing)
	t.Logf("planned change, %d sessions: the slowest transaction took: %s", sessions, slowest)
}

// pause changes the primary once. It returns for how long no transaction ended, and how long the slowest of them took.
func (s *site) pause(t *testing.T, c *crowd) (pause, slowest time.Duration, ok bool) {
	t.Helper()
	before := s.serving(time.Minute, "")
	from := c.history.Now()
	s.switchover(s.hostOf(before))
	after := s.serving(time.Minute, before)
	time.Sleep(500 * time.Millisecond)
	until := c.history.Now()
	s.whole(time.Minute)
	all := slices.DeleteFunc(c.history.Operations(""), func(o check.Operation) bool { return o.Answered < from || o.Asked > until })
	for _, o := range all {
		slowest = max(slowest, o.Answered-o.Asked)
		if o.Outcome != check.Happened {
			t.Errorf("a transaction failed: %+v", o)
		}
	}
	pause, _ = c.history.Gap("append", from, until)
	t.Logf("%s → %s: nobody was answered for %s, slowest of %d transactions %s; %s", before, after, pause.Round(time.Millisecond), len(all), slowest.Round(time.Millisecond), s.way())
	return pause, slowest, !t.Failed()
}

// gatherMany begins clients that run transactions of three statements, half of them at each listener's host, and waits until all have run some.
func (s *site) gatherMany(n int) *crowd {
	s.rounds++
	s.sql(tables(s.rounds))
	c := &crowd{t: s.t, round: s.rounds, history: check.NewHistory(), think: 100 * time.Millisecond}
	for i := range n {
		one := &client{crowd: c, id: i, host: s.lab.Host(listeners[i%len(listeners)])}
		c.all.Go(func() { one.live((*client).transact) })
	}
	time.Sleep(2 * time.Second)
	return c
}

// way is what the keeper that led said of the newest change: how long each phase took.
func (s *site) way() string {
	var newest string
	for _, host := range slices.Concat(voters, bases, listeners) {
		text, err := os.ReadFile(s.logs[host])
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if _, took, ok := strings.Cut(line, ` took="`); ok {
				if n := epochOf(line); n > epochOf(newest) {
					newest = fmt.Sprintf("epoch=%d %s", n, strings.TrimSuffix(strings.TrimSpace(took), `"`))
				}
			}
		}
	}
	return newest
}

// epochOf is the epoch that a line of a log names, 0 for none.
func epochOf(line string) int {
	_, rest, _ := strings.Cut(line, "epoch=")
	number, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(number) // 0 is none
	return n
}
