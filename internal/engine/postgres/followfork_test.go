package postgres

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestBothLinesAreWrittenTo promotes a standby while its primary, which is followed, still takes commits. The commits of
// the new line keep their own times, though the old line was whole until later.
func TestBothLinesAreWrittenTo(t *testing.T) {
	takesLong(t)
	one := withSmallFiles(t, 0, nil)
	l := pgtest.NewLedger(t, one, 1)
	one.Exec(t, "create table own (line int)")
	two := one.Standby(t, "two")
	s := connect(t, one)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	l.Commit(t)
	two.CatchUp(t)
	two.Promote(t)
	promoted := time.Now()
	for range 5 {
		l.Commit(t) // on the old line
		two.Exec(t, "insert into own values (2)")
	}
	stamp, err := time.Parse(time.RFC3339Nano, two.Ask(t, `select to_char(max(pg_xact_commit_timestamp(xmin)) at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') from own`))
	if err != nil {
		t.Fatal(err)
	}
	l.Commit(t)
	b.settled(t)
	f.stop()
	old := b.at()
	if !old.Time.After(stamp) {
		t.Fatalf("the old line is whole until %s, before the commits of the new one", old.Time)
	}
	moved := connect(t, two)
	f = follow(t, moved, b)
	b.settled(t)
	f.stop()
	if len(b.forks) != 1 || b.forks[0].At.Seq >= old.Position.Seq {
		t.Fatalf("forks %+v, want one behind %s", b.forks, old.Position)
	}
	var times []time.Time
	for _, m := range b.marks {
		if m.Position.Timeline == 2 {
			times = append(times, m.Time)
		}
	}
	if len(times) != 5 || !times[4].Equal(stamp) {
		t.Errorf("the new line has commits at %v, want five, the last at %s", times, stamp)
	}
	if since := b.since; since.After(times[0]) || since.After(promoted) || since.Before(promoted.Add(-10*time.Second)) {
		t.Errorf("the new line counts from %s, want when it was promoted, about %s", since, promoted)
	}
}
