package app

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// trio is three servers on this host, and the daemon that manages them.
type trio struct {
	*Host
	servers []*pgtest.Cluster
	rw, ro  string
}

// small are the settings of members that share a machine.
var small = map[string]string{"wal_log_hints": "on", "wal_keep_size": "512MB", "wal_retrieve_retry_interval": "100ms", "shared_buffers": "16MB", "max_connections": "40"}

// prepare gives a primary what cluster init would ask for, and an application.
func prepare(t *testing.T, db1 *pgtest.Cluster) {
	t.Helper()
	db1.HBA(t, "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 trust\n")
	db1.Exec(t, "select pg_reload_conf()", fmt.Sprintf("create role app login password '%s'", pgtest.Password), "create table notes (n serial, text text)",
		"grant all on notes, notes_n_seq to app", "alter role backstay superuser", "create schema backstay",
		"create function backstay.verifier(name text) returns text language sql security definer set search_path = pg_catalog as 'select rolpassword from pg_authid where rolname = name'")
}

// newTrio makes a primary and two standbys, and a cluster of them with one host that decides. bare: their hosts have no agents.
func newTrio(t *testing.T, bare bool) *trio {
	t.Helper()
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Setenv("PGPASSWORD", pgtest.Password)
	db1 := pgtest.New(t, pgtest.Options{Settings: small})
	prepare(t, db1)
	w := &trio{servers: []*pgtest.Cluster{db1, db1.Standby(t, "db2"), db1.Standby(t, "db3")}, rw: freeAddress(t), ro: freeAddress(t)}
	t.Cleanup(func() {
		for _, s := range w.servers {
			if err := member.Halt(context.Background(), s.Dir); err != nil {
				t.Error(err)
			}
		}
	})
	file := "clusters:\n  shop:\n    members:\n"
	for i, s := range w.servers {
		if bare {
			file += fmt.Sprintf("      db%d: { url: \"postgres://backstay@127.0.0.1:%d/?sslmode=disable\" }\n", i+1, s.Port)
			continue
		}
		file += fmt.Sprintf("      db%d: { url: \"postgres://backstay@127.0.0.1:%d/?sslmode=disable\", host: here, data: %s, programs: %s, local: \"%s\" }\n",
			i+1, s.Port, s.Dir, s.Programs.Dir, s.SocketURL(pgtest.Admin))
	}
	file += fmt.Sprintf("    listen: { rw: \"%s\", ro: \"%s\", ask_idle: 100ms }\n    failover: { mode: automatic, after: 1s, max_loss: 0B }\n", w.rw, w.ro)
	w.Host = runFile(t, file)
	return w
}

func (w *trio) cluster(t *testing.T) api.Cluster {
	t.Helper()
	s, err := w.Status(t.Context())
	if err != nil || len(s.Clusters) != 1 {
		t.Fatalf("status %+v, %v", s, err)
	}
	return s.Clusters[0]
}

// serving waits until clients are led to a primary other than one, all others follow it, and a commit is counted on one of them.
func (w *trio) serving(t *testing.T, not string) api.Cluster {
	t.Helper()
	var c api.Cluster
	until(t, "a primary other than "+not+" that two replicas follow", func() bool {
		c = w.cluster(t)
		following := 0
		for _, m := range c.Members {
			if m.Role == "replica" && m.Following == c.Primary {
				following++
			}
		}
		return c.State == "serving" && c.Primary != "" && c.Primary != not && (following == 2 || not != "")
	}, func() string { return fmt.Sprintf("%+v", c) })
	return c
}

func TestAPrimaryThatDiesIsReplaced(t *testing.T) {
	w := newTrio(t, false)
	first := w.serving(t, "")
	if first.Primary != "db1" || first.Epoch != 1 || first.Sync == "" {
		t.Fatalf("adopted: %+v", first)
	}
	if _, err := say(t.Context(), w.rw, "insert into notes (text) values ('before') returning text"); err != nil {
		t.Fatal(err)
	}
	idle, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://app@%s/postgres?sslmode=disable", w.rw))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close(context.Background())
	if _, err := idle.Exec(t.Context(), "set application_name = 'patient'"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // it is asked what it holds

	died := time.Now()
	w.servers[0].Crash(t)
	if _, err := say(t.Context(), w.rw, "insert into notes (text) values ('after') returning text"); err != nil {
		t.Fatalf("who connects while there is no primary: %v", err)
	}
	gap := time.Since(died)
	t.Logf("writes stood for %v", gap.Round(time.Millisecond))
	if gap > 8*time.Second {
		t.Errorf("writes stood for %v", gap)
	}
	var text string
	if err := idle.QueryRow(t.Context(), "select current_setting('application_name')").Scan(&text); err != nil || text != "patient" {
		t.Errorf("a session that was idle when the primary died: %q, %v", text, err)
	}
	after := w.serving(t, "db1")
	if after.Epoch <= first.Epoch {
		t.Errorf("epoch %d after %d", after.Epoch, first.Epoch)
	}
	if got, err := say(t.Context(), w.rw, "select string_agg(text, ',' order by n) from notes"); err != nil || got != "before,after" {
		t.Errorf("notes %q, %v", got, err)
	}
	until(t, "the old primary is back as a replica", func() bool {
		c := w.cluster(t)
		return c.Members[0].Role == "replica" && c.Members[0].Following == c.Primary
	})
	until(t, "ro leads to a server in recovery", func() bool {
		got, err := say(t.Context(), w.ro, "select pg_is_in_recovery()::text")
		return err == nil && got == "true"
	})
	if !strings.Contains(after.Reason, "primary") {
		t.Errorf("reason %q", after.Reason)
	}
}

func TestAPersonMovesThePrimary(t *testing.T) {
	w := newTrio(t, false)
	first := w.serving(t, "")
	would, err := w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "switchover", To: "db2", By: "anna", DryRun: true})
	if err != nil || would.Done || !strings.HasPrefix(would.Text, "drain: ") || w.cluster(t).Epoch != first.Epoch {
		t.Errorf("what would be done: %+v, %v", would, err)
	}
	if _, err := w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "switchover", To: "db9", By: "anna"}); err == nil || hintOf(err) == "" {
		t.Errorf("a member that is none: %v", err)
	}

	// Eight clients write all the while; none of them may notice.
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 8)
	longest := make(chan time.Duration, 8)
	for i := range 8 {
		go func() {
			conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://app@%s/postgres?sslmode=disable", w.rw))
			if err != nil {
				ended <- err
				return
			}
			defer conn.Close(context.Background())
			var most time.Duration
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				if _, err := conn.Exec(context.Background(), "insert into notes (text) values ($1)", fmt.Sprintf("%d/%d", i, n)); err != nil {
					ended <- fmt.Errorf("client %d, note %d: %w", i, n, err)
					return
				}
				most = max(most, time.Since(began))
				time.Sleep(2 * time.Millisecond)
			}
			longest <- most
			ended <- nil
		}()
	}
	time.Sleep(time.Second)
	out, err := w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "switchover", To: "db2", By: "anna", Why: "new disks"})
	if err != nil || !out.Done || out.Primary != "db2" || out.Epoch <= first.Epoch {
		t.Errorf("switchover: %+v, %v", out, err)
	}
	time.Sleep(500 * time.Millisecond)
	stop()
	for range 8 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	close(longest)
	var most time.Duration
	for d := range longest {
		most = max(most, d)
	}
	t.Logf("the switchover took %.3fs, the longest write %v", out.Seconds, most.Round(time.Millisecond))

	until(t, "the old primary follows", func() bool {
		c := w.cluster(t)
		return c.Members[0].Role == "replica" && c.Members[0].Following == "db2"
	})
	if out, err := w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "rejoin", To: "db1", By: "anna"}); err != nil || !out.Done {
		t.Errorf("rejoin of one that is there: %+v, %v", out, err)
	}
	if _, err := w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "pause", By: "anna"}); err != nil {
		t.Error(err)
	}
	until(t, "it is paused", func() bool { return w.cluster(t).Paused })
	w.servers[1].Crash(t)
	time.Sleep(3 * time.Second)
	if c := w.cluster(t); c.Epoch != out.Epoch && c.Primary != "db2" {
		t.Errorf("while it is paused: %+v", c)
	}
	if _, err := w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "resume", By: "anna"}); err != nil {
		t.Error(err)
	}
	w.serving(t, "")
	if got, err := say(t.Context(), w.rw, "select (count(*) > 0)::text from notes"); err != nil || got != "true" {
		t.Errorf("after it was resumed: %q, %v", got, err)
	}
}

func TestServersWithoutAgents(t *testing.T) {
	w := newTrio(t, true)
	first := w.serving(t, "")
	if _, err := say(t.Context(), w.rw, "insert into notes (text) values ('before') returning text"); err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	w.servers[0].Crash(t)
	if _, err := say(t.Context(), w.rw, "insert into notes (text) values ('after') returning text"); err != nil {
		t.Fatalf("who connects while there is no primary: %v", err)
	}
	t.Logf("writes stood for %v", time.Since(died).Round(time.Millisecond))
	after := w.serving(t, first.Primary)
	if got, err := say(t.Context(), w.rw, "select string_agg(text, ',' order by n) from notes"); err != nil || got != "before,after" {
		t.Errorf("notes %q, %v", got, err)
	}
	w.servers[0].Start(t) // the old primary comes back as one; nobody can stop it, and nobody is led to it
	time.Sleep(2 * time.Second)
	if c := w.cluster(t); c.Primary != after.Primary || c.State != "serving" {
		t.Errorf("with the old primary back: %+v", c)
	}
	if got, err := say(t.Context(), w.rw, "select inet_server_port()::text"); err != nil || got == fmt.Sprint(w.servers[0].Port) {
		t.Errorf("clients are led to %s, %v", got, err)
	}
}
