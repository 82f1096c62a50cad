package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

func TestALostSlotIsAGap(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Initdb: []string{"--wal-segsize=1"}, Settings: map[string]string{"max_wal_size": "4MB", "min_wal_size": "2MB"}})
	s := connect(t, c)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	c.Exec(t, "create table t (x text)")
	b.settled(t)
	drop := fmt.Sprintf("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '%s'; select pg_sleep(0.2); select pg_drop_replication_slot('%s')", s.slot, s.slot)
	c.Exec(t, drop)
	var gap *history.GapError
	if err := f.wait(); err == nil || errors.As(err, &gap) {
		t.Fatalf("Follow returned %v when its slot was dropped", err)
	}
	f = follow(t, s, b) // the log is still there: the slot is made anew and nothing is missing
	c.Exec(t, "insert into t values ('a')")
	b.settled(t)
	if n := s.Counters().Slots; n != 2 {
		t.Errorf("%d slots were made", n)
	}
	f.stop()
	c.Exec(t, fmt.Sprintf("select pg_sleep(0.3); select pg_drop_replication_slot('%s')", s.slot))
	for range 12 {
		c.Exec(t, "insert into t select repeat(md5(i::text), 30) from generate_series(1, 2000) i", "select pg_switch_wal()", "checkpoint")
	}
	if err := follow(t, s, b).wait(); !errors.As(err, &gap) || !gap.From.Equal(b.at().Position) {
		t.Fatalf("Follow returned %v after log was removed, want a gap at %s", err, b.at().Position)
	}
}

func TestAnInvalidatedSlotIsAGap(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Initdb: []string{"--wal-segsize=1"}, Settings: map[string]string{"max_wal_size": "4MB", "min_wal_size": "2MB", "max_slot_wal_keep_size": "3MB", "autovacuum": "off"}})
	s := connect(t, c)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	c.Exec(t, "create table t (x text)")
	b.settled(t)
	f.stop()
	for range 12 {
		c.Exec(t, "insert into t select repeat(md5(i::text), 30) from generate_series(1, 2000) i", "select pg_switch_wal()", "checkpoint")
	}
	var gap *history.GapError
	if err := follow(t, s, b).wait(); !errors.As(err, &gap) {
		t.Fatalf("Follow returned %v when its slot was invalidated, want a gap", err)
	}
	if lost := c.Ask(t, "select count(*)::text from pg_replication_slots where restart_lsn is null"); lost != "0" {
		t.Errorf("%s slots are still lost", lost)
	}
	if n := s.Counters().Slots; n != 2 {
		t.Errorf("%d slots were made", n)
	}

	// While it is followed: nothing is taken any more, here or at the server.
	b = newBook(here(t, s))
	f = follow(t, s, b)
	b.settled(t)
	release := b.hold()
	c.Exec(t, "insert into t select repeat(md5(i::text), 30) from generate_series(1, 60000) i")
	enginetest.Until(t, waitLimit, "the slot to be invalidated", func() bool {
		c.Exec(t, "select pg_switch_wal()", "checkpoint")
		return c.Ask(t, "select count(*) from pg_replication_slots where wal_status = 'lost'") == "1"
	})
	release()
	if err := f.wait(); err == nil || errors.As(err, &gap) && gap.From.Equal(b.at().Position) {
		t.Errorf("Follow returned %v when its slot was taken away, before the server was asked again", err)
	}
	if err := follow(t, s, b).wait(); !errors.As(err, &gap) || !gap.From.Equal(b.at().Position) {
		t.Fatalf("Follow returned %v after its slot was taken away, want a gap", err)
	}
	if _, err := s.TakeBase(t.Context(), engine.BaseOptions{After: b.at().Position, NewTimeline: true}, &folderSink{dir: pgtest.Folder(t)}); err != nil {
		t.Errorf("the base that heals it: %v", err)
	}
	if s.Remains() == "" {
		t.Error("nothing is said to remain")
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.Ask(t, "select count(*)::text from pg_replication_slots"); n != "0" || s.Remains() != "" {
		t.Errorf("%s slots are left, %q", n, s.Remains())
	}
}

// TestAnIdleSlotIsMadeAnew has the server invalidate the slot for being idle: it then says where the slot begins, as of
// a healthy one, and refuses to stream from it.
func TestAnIdleSlotIsMadeAnew(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 18, map[string]string{"idle_replication_slot_timeout": "1s"})
	s, b := followed(t, c)
	id, err := s.Identify(t.Context())
	if err != nil || !slices.ContainsFunc(id.Advice, func(a engine.Advice) bool { return strings.HasPrefix(a.Text, "idle_replication_slot_timeout is 1s") }) {
		t.Errorf("advice %+v, %v", id.Advice, err)
	}
	enginetest.Until(t, waitLimit, "the slot to be invalidated", func() bool {
		c.Exec(t, "checkpoint")
		return c.Ask(t, "select count(*) from pg_replication_slots where invalidation_reason = 'idle_timeout'") == "1"
	})
	c.Exec(t, "insert into t values (1)")
	f := follow(t, s, b)
	b.settled(t)
	f.stop()
	b.holds(t, c)
	if n := s.Counters().Slots; n != 2 {
		t.Errorf("%d slots were made", n)
	}
}

func TestLogWithoutWhatRecoveryNeedsIsAGap(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 0, nil)
	s, b := followed(t, c)
	enginetest.Until(t, waitLimit, "the slot to be free", func() bool { return c.Ask(t, "select bool_or(active) from pg_replication_slots") == "f" })
	c.Exec(t, "select pg_drop_replication_slot(slot_name) from pg_replication_slots") // the server does not start with it
	c.Set(t, map[string]string{"wal_level": "minimal", "max_wal_senders": "0"})
	c.Restart(t)
	if err := follow(t, s, b).wait(); err == nil || errors.As(err, new(*history.GapError)) || !strings.Contains(hint(err), "wal_level = replica") {
		t.Errorf("Follow of a server with wal_level minimal returned %v, hint %q", err, hint(err))
	}
	c.Exec(t, "create table unlogged_rows as select i from generate_series(1, 1000) i")
	c.Set(t, map[string]string{"wal_level": "replica", "max_wal_senders": "10"})
	c.Restart(t)
	var gap *history.GapError
	if err := follow(t, s, b).wait(); !errors.As(err, &gap) || !strings.Contains(gap.Reason, "minimal") {
		t.Fatalf("Follow over a stretch with wal_level minimal returned %v, want a gap", err)
	}
	sink := &folderSink{dir: pgtest.Folder(t)}
	r, err := s.TakeBase(t.Context(), engine.BaseOptions{After: b.at().Position, NewTimeline: true}, sink)
	if err != nil || !b.at().Position.Before(r.Bookmark.Position) {
		t.Fatalf("the base that heals it is followed from %s: %v", r.Bookmark.Position, err)
	}
	b = newBook(r.Bookmark)
	f := follow(t, s, b)
	b.settled(t)
	f.stop()
	b.holds(t, c)
	taken := &takenBase{start: wal.LSN(r.Base.Start.Seq)}
	if got := recoverBase(t, c, taken, sink.dir).Ask(t, "select count(*) from unlogged_rows"); got != "1000" {
		t.Errorf("%s rows were recovered", got)
	}
}

// TestASlotThatCannotBeReadMayBeThere connects with the right to replicate only to servers before 15, which tell of slots over a connection to
// a database alone.
func TestASlotThatCannotBeReadMayBeThere(t *testing.T) {
	takesLong(t)
	for _, version := range pgtest.Versions(t) {
		if version >= 15 {
			continue
		}
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			c := withSmallFiles(t, version, nil)
			c.HBA(t, "local all postgres trust\nlocal replication all trust\n")
			c.Reload(t)
			first := connect(t, c)
			b := newBook(here(t, first))
			f := follow(t, first, b)
			c.Exec(t, "create table t (x text)")
			b.settled(t)
			f.stop()
			c.Exec(t, "insert into t select repeat(md5(i::text), 30) from generate_series(1, 5000) i")
			confirmed := b.at().Position
			fresh := func() *Source {
				s, err := Engine{}.Connect(t.Context(), c.SocketURL(pgtest.Backup), engine.Options{Name: "Shop-1", Confirmed: func() history.Position { return confirmed }})
				if err != nil {
					t.Fatal(err)
				}
				return s.(*Source)
			}
			s := fresh()
			behind := int64(c.LSN(t)) - int64(confirmed.Seq)
			if held := s.Status().HeldBytes; behind < 4<<20 || held < behind-1<<20 || held > behind+1<<20 {
				t.Errorf("the slot is said to hold %d bytes, the server is %d further than was confirmed", held, behind)
			}
			if text := s.Remains(); !strings.Contains(text, s.slot+", if it is there") {
				t.Errorf("what remains is %q", text)
			}
			for range 2 { // once to drop it, once where there is none
				s = fresh()
				if err := s.Remove(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := c.Ask(t, "select count(*) from pg_replication_slots"); n != "0" || s.Remains() != "" || s.Status().HeldBytes != 0 {
					t.Errorf("%s slots are left, %q, %d bytes", n, s.Remains(), s.Status().HeldBytes)
				}
			}
		})
	}
}

// TestCommitsThatWaitAreTold reads synchronous_standby_names as a server does, and asks one whether anybody else answers.
func TestCommitsThatWaitAreTold(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{})
	one, err := Engine{}.Connect(t.Context(), c.SocketURL(pgtest.Admin), engine.Options{Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	s := one.(*Source)
	asked := func(list, want, do string) {
		t.Helper()
		c.Exec(t, "alter system set synchronous_standby_names = '"+list+"'", "select pg_reload_conf()")
		enginetest.Until(t, waitLimit, "the setting to count", func() bool { return c.Ask(t, "show synchronous_standby_names") == list })
		advice, err := s.Awaits(t.Context())
		if err != nil || (advice.Text != "") != (want != "") || !strings.Contains(advice.Do, do) {
			t.Errorf("%s: %+v, %v", list, advice, err)
		}
		s.demands(s.demandOf(list))
		s.slotMade = true
		if text := s.Remains(); want != "" && !strings.HasSuffix(text, want+", as synchronous_standby_names is '"+list+"'") || want == "" && strings.Contains(text, "commits") {
			t.Errorf("%s: %q", list, text)
		}
	}
	asked("", "", "")
	asked("s1, s2", "", "")
	asked("Backstay", "without Backstay commits wait there", "= ''")
	asked(`FIRST 2 ("backstay", s1)`, "without Backstay commits wait there unless enough other standbys answer", "without backstay: ")
	asked("ANY 2 (*)", "without Backstay commits wait there unless enough other standbys answer", "without backstay: ")
	asked("*", "without Backstay commits wait there unless enough other standbys answer", "without backstay: ")

	r := c.Standby(t, "s1")
	enginetest.Until(t, waitLimit, "the standby to count", func() bool {
		return c.Ask(t, "select count(*) from pg_stat_replication where sync_state = 'sync'") == "1"
	})
	if advice, err := s.Awaits(t.Context()); err != nil || advice.Text != "" {
		t.Errorf("with another standby: %+v, %v", advice, err)
	}
	standby, err := Engine{}.Connect(t.Context(), r.SocketURL(pgtest.Admin), engine.Options{Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	r.Set(t, map[string]string{"synchronous_standby_names": "backstay"})
	r.Reload(t)
	if advice, err := standby.(*Source).Awaits(t.Context()); err != nil || advice.Text != "" {
		t.Errorf("a standby, on which nobody commits: %+v, %v", advice, err)
	}
}
