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

// TestBriefly is what is tested of all this each time: one planned change under fifty sessions, and the worst losses, most of them twice.
func TestBriefly(t *testing.T) {
	s := newSite(t, plan{failover: `{ mode: automatic, after: 1s, max_loss: 0B }`})
	s.sync = true
	s.whole(time.Minute)
	c := s.gatherMany(sessions)
	_, _, ok := s.pause(t, c)
	c.leave()
	for _, n := range nemeses {
		if n.disk && s.disks["d1"] == nil {
			continue
		}
		for range n.brief {
			if ok {
				_, ok = s.suffer(t, n)
			}
		}
	}
	if !ok {
		t.Log(s.said())
	}
}

// TestSynchronous has each nemesis happen to a cluster that may lose nothing: it stays linearizable, and all that was
// acknowledged is there. BACKSTAY_SOAK has each happen twenty times, those with a goal a hundred times, BACKSTAY_HA_ROUNDS as often as it says, and
// BACKSTAY_HA_ONLY names those to take.
func TestSynchronous(t *testing.T) {
	newSite(t, plan{failover: `{ mode: automatic, after: 1s, max_loss: 0B }`}).sufferAll(t, nemeses, true)
}

// TestAsynchronous has them happen to a cluster that acknowledges without asking its replicas, and may lose
// 1 MiB of log: what it loses is counted, nothing else may be wrong.
func TestAsynchronous(t *testing.T) {
	newSite(t, plan{failover: `{ mode: automatic, after: 1s, max_loss: 1MiB, sync: 0 }`, tls: true}).sufferAll(t, nemeses, false)
}

// TestDegraded has two servers that may go on alone. Whoever is alone writes on, and nothing acknowledged is lost by it: while one is away the
// loss of the other stops writes until it is back, and nobody who lacks commits takes over.
func TestDegraded(t *testing.T) {
	newSite(t, plan{servers: bases[:2], failover: `{ mode: automatic, after: 1s, max_loss: 0B, degraded: true }`}).sufferAll(t, []nemesis{
		{name: "the replica's host is killed", do: func(s *site, p string) { s.lab.Host(s.other(p)).Kill() }, within: most},
		{name: "the replica's host is cut off", do: func(s *site, p string) { s.lab.Isolate(s.other(p)) }, lasts: 6 * time.Second, over: healed, within: most},
		{name: "the primary's host is killed", do: func(s *site, p string) { s.lab.Host(p).Kill() }, changes: true, within: most},
		{name: "the primary's host is cut off", do: func(s *site, p string) { s.lab.Isolate(p) }, lasts: 6 * time.Second, over: healed, changes: true, within: most},
		{name: "the one that is alone is killed", do: (*site).lastOfTwo, lasts: 3 * time.Second, over: func(s *site, p string) { s.daemon(p) }},
	}, true)
}

// lastOfTwo has the replica's host die, the primary write alone for a while, the replica's come back behind a cut, and the primary's host die.
func (s *site) lastOfTwo(primary string) {
	s.t.Helper()
	replica := s.other(primary)
	s.lab.Host(replica).Kill()
	time.Sleep(4 * time.Second)
	s.lab.Part([]string{replica}, []string{primary})
	s.daemon(replica)
	time.Sleep(2 * time.Second)
	s.lab.Host(primary).Kill()
	s.lab.Heal()
}

func (s *site) sufferAll(t *testing.T, all []nemesis, sync bool) {
	t.Helper()
	s.sync = sync
	s.whole(time.Minute)
	only := os.Getenv("BACKSTAY_HA_ONLY")
	for _, n := range all {
		if !strings.Contains(n.name, only) || n.disk && s.disks["d1"] == nil {
			continue
		}
		var gaps check.Figures
		for range rounds(n) {
			gap, ok := s.suffer(t, n)
			gaps = append(gaps, gap)
			if !ok {
				t.Log(s.said())
				return
			}
		}
		goal := ""
		if n.goal > 0 {
			goal = fmt.Sprintf(" (goal: p99 %s)", n.goal)
		}
		t.Logf("%s: no write for: %s%s", n.name, gaps, goal)
	}
}

func rounds(n nemesis) int {
	if n, err := strconv.Atoi(os.Getenv("BACKSTAY_HA_ROUNDS")); err == nil {
		return n
	}
	switch soak := os.Getenv("BACKSTAY_SOAK") != ""; {
	case soak && n.goal > 0:
		return 100
	case soak:
		return 20
	}
	return max(1, n.rounds)
}

// suffer has one thing happen while clients write, and judges what they were told. The cluster is whole before and after.
func (s *site) suffer(t *testing.T, n nemesis) (gap time.Duration, ok bool) {
	t.Helper()
	s.rounds++
	s.sql(tables(s.rounds))
	s.start = s.sql("select pg_current_wal_lsn()")
	crowd := s.gather()
	time.Sleep(1500 * time.Millisecond)
	before := s.serving(time.Minute, "")
	primary := s.hostOf(before)
	from := crowd.history.Now()
	n.do(s, primary)
	if n.lasts > 0 {
		time.Sleep(n.lasts)
	}
	if n.over != nil {
		n.over(s, primary)
	}
	not := ""
	if n.changes {
		not = before
	}
	s.serving(time.Minute, not)
	time.Sleep(2 * time.Second)
	until := crowd.history.Now()
	crowd.leave()
	for _, host := range s.hosts() { // as the service manager does
		s.daemon(host)
	}
	s.whole(2 * time.Minute)
	gap, at := crowd.history.Gap("append", from, until)
	happened, refused, unknown := crowd.history.Count("")
	t.Logf("%s: %s → %s, %d operations, %d refused, %d unknown, longest gap %s after %s; %s",
		n.name, before, s.serving(time.Minute, ""), happened, refused, unknown, gap.Round(time.Millisecond), (at - from).Round(time.Millisecond), s.way())
	return gap, s.judge(t, n, crowd.history, gap)
}

func (s *site) judge(t *testing.T, n nemesis, h *check.History, gap time.Duration) bool {
	t.Helper()
	failed := t.Failed()
	verdict := check.Appends(h.Operations("append"), s.appended())
	if err := verdict.Err(); err != nil || len(verdict.Lost) > 0 && s.sync {
		t.Errorf("%s: %d of %d acknowledged rows are lost; %v", n.name, len(verdict.Lost), verdict.Acknowledged, err)
		for _, o := range h.Operations("append") {
			if slices.Contains(slices.Concat(verdict.Lost, verdict.Risen, verdict.Twice), o.Value) {
				t.Logf("%+v", o)
			}
		}
	}
	var calls []check.Operation
	for _, kind := range []string{"read", "write"} {
		calls = append(calls, h.Operations(kind)...)
	}
	if !s.sync {
		bytes := s.weight(len(verdict.Lost), verdict.Acknowledged)
		t.Logf("%s: %d of %d acknowledged rows are lost, about %d bytes of log", n.name, len(verdict.Lost), verdict.Acknowledged, bytes)
		if bytes > maxLoss {
			t.Errorf("%s: about %d bytes of log are lost, and %d may be", n.name, bytes, maxLoss)
		}
	} else if result, key := check.Linearizable(calls, 30*time.Second); result != check.Right {
		t.Errorf("%s: register %s is not linearizable (%d)", n.name, key, result)
	}
	if err := check.Bank(h.Operations(""), total); err != nil {
		t.Errorf("%s: %v", n.name, err)
	}
	if happened, _, _ := h.Count("append"); happened < 50 {
		t.Errorf("%s: only %d rows were appended", n.name, happened)
	}
	if n.within > 0 && gap > n.within {
		t.Errorf("%s: no write for %s, want at most %s", n.name, gap, n.within)
	}
	if n.planned {
		for _, o := range h.Operations("") {
			if o.Outcome != check.Happened {
				t.Errorf("%s: a request failed: %+v", n.name, o)
			}
		}
	}
	return failed || !t.Failed()
}

// maxLoss of TestAsynchronous, in bytes.
const maxLoss = 1 << 20

// weight is how much log some of a round's rows are, taking all that was written in it for that of its rows.
func (s *site) weight(some, all int) int {
	s.t.Helper()
	written, err := strconv.Atoi(s.sql("select pg_wal_lsn_diff(pg_current_wal_lsn(), '" + s.start + "')::bigint"))
	if err != nil {
		s.t.Fatal(err)
	}
	return some * written / max(all, 1)
}

// appended are the rows of this round that the primary has.
func (s *site) appended() (there []int64) {
	s.t.Helper()
	for _, line := range strings.Fields(s.sql(fmt.Sprintf("select id from appends where round = %d", s.rounds))) {
		n, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		there = append(there, n)
	}
	return there
}
