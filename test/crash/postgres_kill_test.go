package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestNoAnsweredCommitIsLost has the agent as synchronous standby, kills server, agent or both at random, and deletes the
// server's directory. Repository and spool must bring back every commit that was answered. The restored server then takes
// the place of the lost one.
func TestNoAnsweredCommitIsLost(t *testing.T) {
	b := newBank(t, 3, pgtest.Options{})
	b.protect()
	b.begun()
	answeredBy(t, b.db, "backstay")
	b.busy()
	for i := range times(20, 200) {
		b.grown(20)
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		who := rand.IntN(3)
		b.strike(who)
		b.still()
		if err := os.RemoveAll(b.db.Dir); err != nil {
			t.Fatal(err)
		}
		dir := b.restored("latest")
		if err := os.Rename(dir, b.db.Dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Dir(dir)); err != nil {
			t.Fatal(err)
		}
		// The base is older than the setting.
		b.db.Set(t, map[string]string{"synchronous_standby_names": "backstay"})
		b.db.Start(t)
		b.ledger.Check(t, b.db.Connect(t), b.ledger.Now())
		if t.Failed() {
			t.Fatalf("after kill %d, of %s", i+1, []string{"the server", "the agent", "both"}[who])
		}
		b.ledger.Settle(t)
		if who != 0 {
			b.protect()
		}
		b.busy()
	}
	b.grown(20)
	b.still()
	b.protected()
	b.stop()
	b.stands(b.ledger.Now())
	b.check()
}

// strike kills, and leaves no server behind: 0 the server, 1 the agent and then, with its clients waiting, the server,
// 2 both at once.
func (b *bank) strike(who int) {
	b.t.Helper()
	switch who {
	case 0:
		b.db.Crash(b.t)
	case 1:
		b.kill(b.agent)
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		b.db.Crash(b.t)
	case 2:
		done := make(chan error, 1)
		go func() { done <- b.db.Kill() }()
		b.kill(b.agent)
		if err := <-done; err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestWhatWasReportedIsThere has the agent follow asynchronously and kills server, agent or both at random. What it had
// reported durable before a kill must be found in the repository alone.
func TestWhatWasReportedIsThere(t *testing.T) {
	b := newBank(t, 2, pgtest.Options{})
	b.busy()
	b.protect()
	b.begun()
	var reported time.Time
	for i := range times(12, 200) {
		b.grown(10)
		time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond)
		if at := b.durable(); at.After(reported) {
			reported = at
		}
		who := rand.IntN(3)
		if who != 0 {
			b.kill(b.agent)
		}
		if who != 1 {
			b.db.Crash(t)
			b.db.Start(t)
		}
		if i%4 == 3 {
			b.holds(reported)
		}
		if who != 0 {
			b.protect()
		}
	}
	b.still()
	b.ledger.Settle(t)
	b.protected()
	b.stop()
	b.stands(b.ledger.Now())
	b.check()
}

// holds demands that the repository alone has all that was committed by reported.
func (b *bank) holds(reported time.Time) {
	b.t.Helper()
	m := b.ledger.Since(reported)
	dir := b.place()
	said := b.restore(dir, "latest", b.fromRepository()...)
	m.Most = b.ledger.Now().Most
	b.compare(dir, m)
	if b.t.Failed() {
		history, _ := b.command("history", "app").CombinedOutput()
		b.t.Logf("%s\n%s", said, history)
		b.t.Fatalf("not all is there that was reported durable at %v: %v", reported, b.missing(m))
	}
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		b.t.Fatal(err)
	}
}

// missing describes the last entries that had to be there.
func (b *bank) missing(m pgtest.Moment) (last []string) {
	for _, e := range b.ledger.Entries() {
		if n := m.Least[e.Writer]; e.N > n-12 && e.N <= n {
			last = append(last, fmt.Sprintf("writer %d, commit %d at %s, stamped %s, answered %s", e.Writer, e.N, e.After, e.Stamp.Format("05.000000"), e.Answered.Format("05.000000")))
		}
	}
	return last
}
