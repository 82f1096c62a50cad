//go:build unix

package postgres

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestSentinelSaysWhichSecondWasRecovered writes rows between commits, and recovers to some of them.
func TestSentinelSaysWhichSecondWasRecovered(t *testing.T) {
	w := newWorld(t, pgtest.Options{})
	o := engine.Options{Name: "shop", Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	s, err := Engine{}.OpenSentinel(t.Context(), w.cluster.SocketURL(pgtest.Admin), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.Contains(s.Table(), "backstay.sentinel in database postgres") {
		t.Error(s.Table())
	}
	w.take(t, nil)
	for range 5 {
		if err := s.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.commit(t, 1, 100)
	}
	l := w.log(t, 1<<20)
	marks := l.marks()
	for _, n := range []int{1, 3, 5} {
		at := marks[len(marks)-1-2*(5-n)]
		dir, r := w.restored(t, l, at.Position)
		launched, err := Engine{}.Launch(t.Context(), dir, r)
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := launched.(engine.SentinelReader).Sentinel(t.Context())
		if err != nil || !ok || got.Count != int64(n) || got.Time.After(at.Time) || at.Time.Sub(got.Time) > 10*time.Second {
			t.Errorf("after %d rows: %+v, %t, %v; the last commit is of %s", n, got, ok, err, at.Time)
		}
		if err := launched.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if what, err := (Engine{}).DropSentinel(t.Context(), w.cluster.SocketURL(pgtest.Admin), o, false); err != nil || what == "" {
		t.Errorf("%q, %v", what, err)
	}
	if left := w.cluster.Ask(t, "select count(*) from pg_namespace where nspname = 'backstay'"); left != "0" {
		t.Error("the schema is left")
	}
	if what, err := (Engine{}).DropSentinel(t.Context(), w.cluster.SocketURL(pgtest.Admin), o, false); err != nil || what != "" {
		t.Errorf("a second time: %q, %v", what, err)
	}
}

// TestSentinelOnlyWhereGranted has a role without rights, then one with a schema of its own; two sources share the table.
func TestSentinelOnlyWhereGranted(t *testing.T) {
	c := pgtest.New(t, pgtest.Options{})
	o := engine.Options{Name: "shop", Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	url := c.SocketURL(pgtest.Backup)
	_, err := Engine{}.OpenSentinel(t.Context(), url, o)
	refused, ok := errors.AsType[*engine.NotGrantedError](err)
	if !ok {
		t.Fatal(err)
	}
	c.Exec(t, refused.Hint())
	var open []engine.Sentinel
	for _, name := range []string{"shop", "other"} {
		o.Name = name
		s, err := Engine{}.OpenSentinel(t.Context(), url, o)
		if err == nil {
			err = errors.Join(s.Write(t.Context()), s.Write(t.Context()))
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		open = append(open, s)
	}
	if rows := c.Ask(t, "select count(*) || ' ' || sum(n) from backstay.sentinel"); rows != "2 4" {
		t.Errorf("rows %s", rows)
	}
	lock := c.Connect(t)
	if _, err := lock.Exec(t.Context(), "begin; lock table backstay.sentinel"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := open[0].Write(t.Context()); err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("it wrote into a locked table, or waited for it: %v after %s", err, time.Since(began))
	}
	if _, err := lock.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := open[0].Write(t.Context()); err != nil {
		t.Error(err)
	}
	what, err := Engine{}.DropSentinel(t.Context(), url, o, false)
	if err != nil || !strings.HasPrefix(what, "the row of other") {
		t.Errorf("%q, %v", what, err)
	}
	o.Name = "shop"
	if what, err := (Engine{}).DropSentinel(t.Context(), url, o, true); err != nil || !strings.HasPrefix(what, "table backstay.sentinel") {
		t.Errorf("dry: %q, %v", what, err)
	}
	if rows := c.Ask(t, "select count(*) || ' ' || sum(n) from backstay.sentinel"); rows != "1 3" {
		t.Errorf("rows %s", rows)
	}
}

// BenchmarkSentinel is what one second costs the server.
func BenchmarkSentinel(b *testing.B) {
	c := pgtest.New(b, pgtest.Options{Settings: map[string]string{"fsync": "on"}})
	s, err := Engine{}.OpenSentinel(b.Context(), c.SocketURL(pgtest.Admin), engine.Options{Name: "shop", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	before := c.LSN(b)
	for b.Loop() {
		if err := s.Write(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(c.LSN(b)-before)/float64(b.N), "log-bytes/op")
}
