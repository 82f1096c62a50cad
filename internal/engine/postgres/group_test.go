package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// pair is a primary that keeps no log but what slots ask for, its standby, and both as a group whose log is followed.
type pair struct {
	one, two *pgtest.Cluster
	group    Group
	book     *book
}

func newPair(t *testing.T) *pair {
	t.Helper()
	takesLong(t)
	p := &pair{one: pgtest.New(t, pgtest.Options{Initdb: []string{"--wal-segsize=1"}, Settings: map[string]string{"max_wal_size": "4MB", "min_wal_size": "2MB", "autovacuum": "off"}})}
	p.two = p.one.Standby(t, "two")
	p.one.Exec(t, "create table t (x text)")
	p.group = Group{Name: "shop", Lead: &Lead{}, Servers: map[string]string{"one": p.one.SocketURL(pgtest.Backup), "two": p.two.SocketURL(pgtest.Backup)},
		Safe: func() history.Position { return p.book.at().Position }}
	p.group.Lead.Set("one")
	p.book = newBook(here(t, p.connect(t).Source))
	return p
}

func (p *pair) connect(t *testing.T) *groupSource {
	t.Helper()
	s, err := p.group.Connect(t.Context(), "", engine.Options{Name: "Shop-1", StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*groupSource)
}

func (p *pair) follow(t *testing.T, s *groupSource) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { f.done <- s.Follow(ctx, p.book.at(), p.book.ship) }()
	t.Cleanup(cancel)
	return f
}

// kept is from where on the standby keeps log.
func (p *pair) kept(t *testing.T) wal.LSN {
	t.Helper()
	text := p.two.Ask(t, "select coalesce((select restart_lsn from pg_replication_slots), '0/0')::text")
	at, err := wal.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// churn writes many files of log, and has both servers remove what nobody asks for.
func (p *pair) churn(t *testing.T) {
	t.Helper()
	for range 12 {
		p.one.Exec(t, "insert into t select repeat(md5(i::text), 30) from generate_series(1, 2000) i", "select pg_switch_wal()")
		p.two.CatchUp(t) // nothing is kept for it
		p.one.Exec(t, "checkpoint")
	}
	p.two.CatchUp(t)
	p.two.Exec(t, "checkpoint")
}

func TestAGroupsLogGoesOnAcrossAPromotion(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s := p.connect(t)
	f := p.follow(t, s)
	enginetest.Until(t, waitLimit, "the slot on the standby", func() bool { return p.kept(t) > 0 })
	began := p.kept(t)
	p.churn(t)
	p.book.settled(t)
	enginetest.Until(t, waitLimit, "the slot on the standby to be moved", func() bool { return p.kept(t) > began+8<<20 })
	if at := p.kept(t); at > wal.LSN(p.book.at().Position.Seq) {
		t.Fatalf("the standby keeps log from %s on, and the repository has it up to %s only", at, p.book.at().Position)
	}
	if text := s.slotText(); text != "" {
		t.Errorf("status: %s", text)
	}

	f.stop()
	p.churn(t) // nobody follows meanwhile
	p.one.Crash(t)
	p.two.Promote(t)
	p.two.Exec(t, "insert into t values ('after')", "checkpoint")
	if err := p.follow(t, s).wait(); !errors.Is(err, engine.ErrMoved) {
		t.Fatalf("following a server that is gone: %v, want ErrMoved", err)
	}
	p.group.Lead.Set("two")
	f = p.follow(t, p.connect(t))
	end := position(2, p.two.LSN(t))
	enginetest.Until(t, waitLimit, "the log of timeline 2", func() bool { return !p.book.at().Position.Before(end) })
	f.stop()
	if fork := leftAt(t, p.two); len(p.book.forks) != 1 || wal.LSN(p.book.forks[0].At.Seq) != fork { // the book refuses pieces that don't join
		t.Errorf("forks %+v, want one at %s", p.book.forks, fork)
	}
}

// TestWithoutItsSlotTheLogIsTornByAPromotion shows that it is the slot which the test above is about.
func TestWithoutItsSlotTheLogIsTornByAPromotion(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.group.Safe = nil
	f := p.follow(t, p.connect(t))
	p.churn(t)
	p.book.settled(t)
	f.stop()
	p.churn(t)
	p.one.Crash(t)
	p.two.Promote(t)
	p.two.Exec(t, "checkpoint")
	p.group.Lead.Set("two")
	var gap *history.GapError
	if err := p.follow(t, p.connect(t)).wait(); !errors.As(err, &gap) {
		t.Fatalf("Follow returned %v, want a gap", err)
	}
}

func TestAStreamEndsWhenAnotherServerLeads(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s := p.connect(t)
	f := p.follow(t, s)
	p.one.Exec(t, "insert into t values ('a')")
	p.book.settled(t)
	if age := p.group.Lead.Heard(); age < 0 || age > waitLimit {
		t.Errorf("the server was heard %s ago", age)
	}
	if err := p.group.Lead.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := p.one.Ask(t, "select count(*)::text from pg_replication_slots where active"); n != "0" {
		enginetest.Until(t, time.Second, "the server to see the end of the stream", func() bool {
			return p.one.Ask(t, "select count(*)::text from pg_replication_slots where active") == "0"
		})
	}
	if err := f.wait(); !errors.Is(err, engine.ErrMoved) {
		t.Errorf("Follow returned %v, want ErrMoved", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.group.Connect(ctx, "", engine.Options{Name: "Shop-1"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with nobody to follow: %v", err)
	}
}

func TestABaseOfAGroupComesFromAReplica(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s := p.connect(t)
	f := p.follow(t, s)
	defer f.stop()
	enginetest.Until(t, waitLimit, "the slot on the standby", func() bool { return p.kept(t) > 0 && s.slotText() == "" })
	p.churn(t)
	p.book.settled(t)
	res, err := s.TakeBase(t.Context(), engine.BaseOptions{After: p.book.at().Position}, &folderSink{dir: pgtest.Folder(t)})
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Counters(); n.ReplicaBases != 1 || n.FileBases+n.StreamBases != 0 {
		t.Errorf("counters: %+v", n)
	}
	if res.Base.Start.Timeline != 1 || !res.Base.Start.Before(res.Base.Stop) && !res.Base.Start.Equal(res.Base.Stop) {
		t.Errorf("base %+v", res.Base)
	}
	// One that begins a line is the primary's.
	if _, err := s.TakeBase(t.Context(), engine.BaseOptions{After: p.book.at().Position, NewTimeline: true}, &folderSink{dir: pgtest.Folder(t)}); err == nil {
		if n := s.Counters(); n.ReplicaBases != 1 {
			t.Errorf("counters: %+v", n)
		}
	}
	if err := s.Remove(t.Context()); err == nil && p.kept(t) != 0 {
		t.Error("the slot is left on the standby")
	}
}

// TestCommitsKeepTheirTimesAcrossAPromotion follows the new primary only after it has committed for a while. That server's clock, on the way through the
// old timeline, says nothing about when those were committed.
func TestCommitsKeepTheirTimesAcrossAPromotion(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	l := pgtest.NewLedger(t, p.one, 2)
	f := p.follow(t, p.connect(t))
	for range 5 {
		l.Commit(t)
	}
	p.book.settled(t)
	f.stop()
	for range 5 { // on the old timeline, and received from the new primary only
		l.Commit(t)
	}
	p.one.Exec(t, "insert into t select repeat(md5(i::text), 30) from generate_series(1, 2000) i") // in many messages
	p.two.CatchUp(t)
	p.one.Crash(t)
	p.two.Promote(t)
	l.Move(p.two)
	for range 10 {
		l.Commit(t)
	}
	late := time.Now()
	p.group.Lead.Set("two")
	f = p.follow(t, p.connect(t))
	end := position(2, p.two.LSN(t))
	enginetest.Until(t, waitLimit, "the log of timeline 2", func() bool { return !p.book.at().Position.Before(end) })
	f.stop()
	n := 0
	for _, m := range p.book.marks {
		if m.Time.After(late) {
			t.Errorf("the commit at %s was answered before %s, and is marked at %s", m.Position, late, m.Time)
		}
		n++
	}
	if n < 20 {
		t.Errorf("%d commits are here", n)
	}
}
