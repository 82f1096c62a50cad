package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/freeport"
	"github.com/backstaydb/backstay/internal/history"
)

// shopSource is a cluster as a source, for the file of a trio.
const shopSource = "repositories: { local: { store: ./repo } }\nsources: { books: { url: \"cluster:shop\", repositories: [local] } }\n"

func (w *trio) source(t *testing.T) api.Source {
	t.Helper()
	s, err := w.Status(t.Context())
	if err != nil || len(s.Sources) != 1 {
		t.Fatalf("status %+v, %v", s, err)
	}
	return s.Sources[0]
}

// jotting is one that was written through the listener.
type jotting struct {
	n               int
	asked, answered time.Time
	ok              bool
}

// diary writes notes, one after the other, until it is stopped.
type diary struct {
	mu    sync.Mutex
	notes []jotting
	stop  context.CancelFunc
	done  chan struct{}
}

func (w *trio) writeOn(t *testing.T, pause time.Duration) *diary {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &diary{stop: cancel, done: make(chan struct{})}
	t.Cleanup(cancel)
	go func() {
		defer close(d.done)
		var conn *pgx.Conn
		for n := 1; ctx.Err() == nil; n++ {
			var err error
			if conn == nil {
				conn, err = pgx.Connect(ctx, fmt.Sprintf("postgres://app@%s/postgres?sslmode=disable", w.rw))
			}
			one := jotting{n: n, asked: time.Now()}
			if err == nil {
				_, err = conn.Exec(ctx, "insert into notes (text) values ($1)", fmt.Sprint(n))
			}
			one.answered, one.ok = time.Now(), err == nil
			if err != nil && conn != nil {
				_ = conn.Close(context.Background()) // it may be gone
				conn = nil
			}
			d.mu.Lock()
			d.notes = append(d.notes, one)
			d.mu.Unlock()
			time.Sleep(pause)
		}
		if conn != nil {
			_ = conn.Close(context.Background()) // what it did is answered
		}
	}()
	return d
}

// acknowledged is how many were.
func (d *diary) acknowledged() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.notes {
		if one.ok {
			n++
		}
	}
	return n
}

// more waits until n more are acknowledged.
func (d *diary) more(t *testing.T, n int) {
	t.Helper()
	want := d.acknowledged() + n
	until(t, "notes are written", func() bool { return d.acknowledged() >= want })
}

func (d *diary) end() {
	d.stop()
	<-d.done
}

// judge compares the notes of a restored server with what had to be there at a time: all that were answered by then, none that was asked for later.
// The server's clock is this host's.
func (d *diary) judge(t *testing.T, at time.Time, have []int) {
	t.Helper()
	for _, one := range d.notes {
		there := slices.Contains(have, one.n)
		if one.ok && !one.answered.After(at) && !there {
			t.Errorf("restored to %s: note %d, answered %s before, is lost", at.Format(time.StampMilli), one.n, at.Sub(one.answered))
		}
		if one.asked.After(at) && there {
			t.Errorf("restored to %s: note %d was asked for %s later", at.Format(time.StampMilli), one.n, one.asked.Sub(at))
		}
	}
}

// restored restores the source and reads the notes.
func (w *trio) restored(t *testing.T, to history.Target) []int {
	t.Helper()
	reached, err := w.Open(t.Context(), Reach{Source: "books"})
	if err != nil {
		t.Fatal(err)
	}
	defer reached.Close()
	plan, err := reached.PlanRestore(t.Context(), to)
	if err != nil {
		t.Fatalf("restore to %s: %v", to, err)
	}
	dir := filepath.Join(pgtest.Folder(t), "restored")
	if _, err := plan.Run(t.Context(), dir, nil); err != nil {
		t.Fatalf("restore to %s: %v", to, err)
	}
	c := pgtest.Opened(t, w.servers[0].Version, dir, map[string]string{"shared_preload_libraries": "", "synchronous_standby_names": "", "primary_conninfo": ""})
	c.Start(t)
	defer c.Stop(t)
	conn := c.Connect(t)
	rows, err := conn.Query(t.Context(), "select text::int from notes where text ~ '^[0-9]+$' order by n")
	if err != nil {
		t.Fatal(err)
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// kept waits until every standby keeps the source's log.
func (w *trio) kept(t *testing.T) {
	t.Helper()
	until(t, "the slot is kept on every member", func() bool {
		for _, s := range w.servers {
			if s.Ask(t, "select count(*) from pg_replication_slots where slot_name like 'backstay\\_books\\_%' and restart_lsn is not null") != "1" {
				return false
			}
		}
		return true
	}, func() string { return w.source(t).Text })
}

// ungapped sees that the history has no gap, and so many forks.
func (w *trio) ungapped(t *testing.T, forks int, unless ...string) {
	t.Helper()
	reached, err := w.Open(t.Context(), Reach{Source: "books"})
	if err != nil {
		t.Fatal(err)
	}
	defer reached.Close() // it was only read
	h := reached.Repositories[0].Facts.History
	if gaps := slices.DeleteFunc(h.AllGaps(), func(g history.Gap) bool { return slices.Contains(unless, g.Reason) }); len(gaps) > 0 {
		t.Errorf("gaps: %+v", gaps)
	}
	if len(h.Forks) != forks {
		t.Errorf("forks: %+v", h.Forks)
	}
}

// TestAClusterIsASource has a cluster's primary die, and then be moved, while its log is followed. There is no gap, and every moment before, at
// and after both can be restored.
func TestAClusterIsASource(t *testing.T) {
	w := newTrio(t, false, shopSource)
	first := w.serving(t, "")
	until(t, "the source is followed", func() bool { return w.source(t).State == stateFollowing }, func() string { return fmt.Sprintf("%+v", w.source(t)) })
	w.kept(t)
	d := w.writeOn(t, 3*time.Millisecond)
	d.more(t, 100)
	before := time.Now()

	allowed := w.unstartable(t, w.servers[0])
	w.servers[0].Crash(t)
	d.more(t, 100)
	second := w.serving(t, first.Primary)
	allowed()
	forked := time.Now()
	until(t, "the old primary is back", func() bool {
		c := w.cluster(t)
		return c.Members[0].Role == "replica" && c.Members[0].Following == c.Primary && settled(c)
	})
	w.kept(t)
	other := "db2"
	if second.Primary == other {
		other = "db3"
	}
	between := time.Now()
	if out, err := w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "switchover", To: other, By: "anna"}); err != nil || !out.Done {
		t.Fatalf("switchover: %+v, %v", out, err)
	}
	d.more(t, 100)
	after := time.Now()
	d.more(t, 30)
	d.end()
	end := time.Now()
	until(t, "the repository has all", func() bool {
		r := w.source(t).Repositories[0]
		return r.LagBytes == 0 && r.DurableTime.After(end)
	}, func() string { return fmt.Sprintf("%+v", w.source(t)) })

	w.ungapped(t, 2)
	pause := func(i int) time.Duration { return d.notes[i+1].answered.Sub(d.notes[i].answered) }
	pauses := make([]int, len(d.notes)-1)
	for i := range pauses {
		pauses[i] = i
	}
	slices.SortFunc(pauses, func(a, b int) int { return cmp.Compare(pause(b), pause(a)) })
	moments := []time.Time{before, forked, between, after}
	for _, i := range pauses[:3] { // the last notes before, and the first behind each fork are among them
		moments = append(moments, d.notes[i].answered, d.notes[i+1].answered)
	}
	for _, at := range moments {
		d.judge(t, at, w.restored(t, history.Target{Kind: history.AtTime, Time: at}))
	}
	d.judge(t, end, w.restored(t, history.Target{Kind: history.Latest}))
}

// TestAClusterThatSomebodyElseManagesIsASource has a person promote the standby while the log is followed, and then takes a base and a drill of it
// without any daemon.
func TestAClusterThatSomebodyElseManagesIsASource(t *testing.T) {
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Setenv("PGPASSWORD", pgtest.Password)
	db1 := pgtest.New(t, pgtest.Options{Settings: small})
	db1.Exec(t, "create table notes (n serial, text text)", "grant pg_monitor to backstay")
	db2 := db1.Standby(t, "db2")
	file := shopSource + fmt.Sprintf(`clusters:
  shop:
    members:
      db1: { url: "postgres://backstay@127.0.0.1:%d/?sslmode=disable" }
      db2: { url: "postgres://backstay@127.0.0.1:%d/?sslmode=disable" }
    listen: { rw: "%s" }
    failover: { mode: external, after: 500ms }
`, db1.Port, db2.Port, freeport.Address(t))
	path := filepath.Join(t.TempDir(), config.Name)
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &trio{Host: NewHost(cfg, slog.New(slog.NewTextHandler(t.Output(), nil))), servers: []*pgtest.Cluster{db1, db2}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, RunOptions{Host: "here", Exit: func(error) int { return 1 }}) }()
	var at time.Time
	func() {
		defer func() {
			stop()
			<-ended
		}()
		until(t, "the daemon runs", func() bool { s, err := w.Status(t.Context()); return err == nil && s.Running })
		until(t, "the source is followed", func() bool { return w.source(t).State == stateFollowing }, func() string { return fmt.Sprintf("%+v", w.source(t)) })
		w.kept(t)
		db1.Exec(t, "insert into notes (text) values ('1')")
		db2.CatchUp(t)
		db1.Crash(t)
		db2.Promote(t)
		db2.Exec(t, "insert into notes (text) values ('2')")
		at = time.Now()
		until(t, "the repository has all", func() bool {
			r := w.source(t).Repositories[0]
			return r.LagBytes == 0 && r.DurableTime.After(at)
		}, func() string { return fmt.Sprintf("%+v", w.source(t)) })
		w.ungapped(t, 1)
	}()
	db2.Exec(t, "insert into notes (text) values ('3')")
	base, err := w.Backup(t.Context(), "books", func(error) int { return 1 }, func(api.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	if base.Position.Timeline != 2 {
		t.Errorf("base %+v", base)
	}
	w.ungapped(t, 1, "nobody was watching") // when just the third note came
	if have := w.restored(t, history.Target{Kind: history.AtTime, Time: at}); !slices.Equal(have, []int{1, 2}) {
		t.Errorf("restored %v", have)
	}
	if have := w.restored(t, history.Target{Kind: history.Latest}); !slices.Equal(have, []int{1, 2, 3}) {
		t.Errorf("restored %v", have)
	}
	reached, err := w.Open(t.Context(), Reach{Source: "books"})
	if err != nil {
		t.Fatal(err)
	}
	defer reached.Close() // it was only read
	if report, _, err := reached.Drill(t.Context(), DrillOptions{Pick: drill.Latest, Tool: "test"}); err != nil || report.Verdict != drill.Proved {
		t.Errorf("drill: %+v, %v", report, err)
	}
}
