package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/freeport"
)

// trio is three servers on this host, and the daemon that manages them.
type trio struct {
	*Host
	servers []*pgtest.Cluster
	rw, ro  string
	file    string
}

// small are the settings of members that share a machine.
var small = map[string]string{"wal_log_hints": "on", "wal_keep_size": "512MB", "wal_retrieve_retry_interval": "100ms", "shared_buffers": "16MB", "max_connections": "40"}

// prepare gives a primary what cluster init would ask for, and an application.
func prepare(t *testing.T, db1 *pgtest.Cluster) {
	t.Helper()
	db1.HBA(t, "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 trust\n")
	db1.Exec(t, "select pg_reload_conf()", fmt.Sprintf("create role app login password '%s'", pgtest.Password), "create table notes (n serial, text text)",
		"grant all on notes, notes_n_seq to app")
	for _, agent := range []bool{true, false} { // all that is asked for, and no more
		l, err := lookerOf(fmt.Sprintf("postgres://backstay@127.0.0.1:%d/?sslmode=disable", db1.Port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		found, err := l.(engine.Inspector).Inspect(t.Context(), engine.Needs{Members: 3, Manages: true, Agent: agent})
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range append(found.Missing, found.Wishes...) {
			for statement := range strings.SplitSeq(sql, ";\n") {
				if !strings.Contains(statement, "fsync") {
					db1.Exec(t, statement)
				}
			}
		}
	}
	db1.Exec(t, "select pg_reload_conf()")
}

// newTrio makes a primary and two standbys, and a cluster of them with one host that decides. bare: their hosts have no agents.
// Lines of more are put at the beginning of the file.
func newTrio(t *testing.T, bare bool, more ...string) *trio {
	t.Helper()
	return newServers(t, 3, bare, strings.Join(more, ""), "")
}

// newServersWith makes n servers whose failover is given as in the file.
func newServersWith(t *testing.T, n int, failover, before string) *trio {
	t.Helper()
	return makeServers(t, n, false, failover, before, "")
}

// newServers makes n servers. before stands at the beginning of the file, and last behind the last of them.
func newServers(t *testing.T, n int, bare bool, before, last string) *trio {
	t.Helper()
	return makeServers(t, n, bare, fmt.Sprintf("{ mode: automatic, after: %ds, lease: %dms, max_loss: 0B }", slow, 1500*slow), before, last)
}

// makeServers makes them with keys of each member beside its own.
func makeServers(t *testing.T, n int, bare bool, failover, before, last string, keys ...string) *trio {
	t.Helper()
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Setenv("PGPASSWORD", pgtest.Password)
	db1 := pgtest.New(t, pgtest.Options{Settings: small})
	prepare(t, db1)
	w := &trio{servers: []*pgtest.Cluster{db1}, rw: freeport.Address(t), ro: freeport.Address(t)}
	for i := 2; i <= n; i++ {
		w.servers = append(w.servers, db1.Standby(t, fmt.Sprintf("db%d", i)))
	}
	t.Cleanup(func() {
		for _, s := range w.servers {
			if err := member.Halt(context.Background(), s.Dir); err != nil {
				t.Error(err)
			}
		}
	})
	file := before + "clusters:\n  shop:\n    members:\n"
	for i, s := range w.servers {
		if bare {
			file += fmt.Sprintf("      db%d: { url: \"postgres://backstay@127.0.0.1:%d/?sslmode=disable\" }\n", i+1, s.Port)
			continue
		}
		file += fmt.Sprintf("      db%d: { url: \"postgres://backstay@127.0.0.1:%d/?sslmode=disable\", host: here, data: %s, programs: %s, local: \"%s\"%s }\n",
			i+1, s.Port, s.Dir, s.Programs.Dir, s.SocketURL(pgtest.Admin), strings.Join(append([]string{""}, keys...), ", "))
	}
	file += last
	file += fmt.Sprintf("    listen: { rw: \"%s\", ro: \"%s\", ask_idle: 100ms }\n    failover: %s\n", w.rw, w.ro, failover)
	w.file, w.Host = file, runFile(t, file)
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
		return c.State == "serving" && c.Primary != "" && c.Primary != not && (following == 2 || not != "") && (settled(c) || not != "")
	}, func() string { return fmt.Sprintf("%+v", c) })
	return c
}

// settled: the replicas have all that was acknowledged, so that the primary may die.
func settled(c api.Cluster) bool { return !strings.HasSuffix(c.Sync, api.Unsettled) }

// unstartable keeps a server that runs from being started once it is dead, which its agent would do before anybody else is primary, until it is
// allowed.
func (w *trio) unstartable(t *testing.T, c *pgtest.Cluster) (allowed func()) {
	t.Helper()
	mode := func(m os.FileMode) {
		if err := os.Chmod(c.Dir, m); err != nil {
			t.Fatal(err)
		}
	}
	mode(0o777) // PostgreSQL refuses a data directory that others may write
	return func() { mode(0o700) }
}

func TestAPrimaryThatDiesIsReplaced(t *testing.T) {
	w := newTrio(t, false)
	first := w.serving(t, "")
	if first.Primary != "db1" || first.Sync == "" {
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

	allowed := w.unstartable(t, w.servers[0])
	died := time.Now()
	w.servers[0].Crash(t)
	if _, err := say(t.Context(), w.rw, "insert into notes (text) values ('after') returning text"); err != nil {
		t.Fatalf("who connects while there is no primary: %v", err)
	}
	gap := time.Since(died)
	t.Logf("writes stood for %v", gap.Round(time.Millisecond))
	if gap > 8*slow*time.Second {
		t.Errorf("writes stood for %v", gap)
	}
	var text string
	if err := idle.QueryRow(t.Context(), "select current_setting('application_name')").Scan(&text); err != nil || text != "patient" {
		t.Errorf("a session that was idle when the primary died: %q, %v", text, err)
	}
	after := w.serving(t, "db1")
	allowed()
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
	if err != nil || would.Done || !strings.HasPrefix(would.Text, "drain: ") || !strings.HasPrefix(would.Then, "db2 is primary; db2 has ") || w.cluster(t).Epoch != first.Epoch {
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

func TestAReloadChangesClusters(t *testing.T) {
	w := newTrio(t, false)
	first := w.serving(t, "")
	if _, err := say(t.Context(), w.rw, "insert into notes (text) values ('one') returning text"); err != nil {
		t.Fatal(err)
	}
	moved := freeport.Address(t)
	next := strings.Replace(strings.Replace(w.file, w.rw, moved, 1), "after: ", "degraded: true, after: ", 1)
	reload(t, w.Host, strings.Replace(next, "max_loss: 0B", "max_loss: 0B, sync: 5", 1))
	if s, err := w.Status(t.Context()); err != nil || !strings.Contains(s.Refused, "sync: 5") {
		t.Errorf("a file that is refused: %q, %v", s.Refused, err)
	}
	if got, err := say(t.Context(), w.rw, "select text from notes"); err != nil || got != "one" {
		t.Errorf("after a file that is refused: %q, %v", got, err)
	}
	reload(t, w.Host, strings.Replace(next, "clusters:", "hosts: { here: { address: 127.0.0.1 } }\nclusters:", 1))
	if s, err := w.Status(t.Context()); err != nil || !strings.Contains(s.Refused, "restart") {
		t.Errorf("a file that needs a restart: %q, %v", s.Refused, err)
	}
	reload(t, w.Host, next)
	if s, err := w.Status(t.Context()); err != nil || s.Refused != "" {
		t.Errorf("a file that is right: %q, %v", s.Refused, err)
	}
	until(t, "clients are led from the new address", func() bool {
		got, err := say(t.Context(), moved, "select text from notes")
		return err == nil && got == "one"
	})
	if _, err := say(t.Context(), w.rw, "select 1"); err == nil {
		t.Error("the old address is still served")
	}
	if c := w.cluster(t); c.Primary != first.Primary || c.Epoch != first.Epoch {
		t.Errorf("the reload moved the primary: %+v", c)
	}
	reload(t, w.Host, "clusters: { other: { members: { a: { url: \"tcp://127.0.0.1:9\" } } } }\n")
	if s, err := w.Status(t.Context()); err != nil || !strings.Contains(s.Refused, "restart") {
		t.Errorf("a file without a managed cluster: %q, %v", s.Refused, err)
	}
}

func TestAReplicaIsAdded(t *testing.T) {
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Setenv("PGPASSWORD", pgtest.Password)
	db1 := pgtest.New(t, pgtest.Options{Settings: small})
	prepare(t, db1)
	db1.Exec(t, "insert into notes (text) values ('before')")
	empty, sockets := pgtest.Folder(t), pgtest.Folder(t)
	t.Cleanup(func() {
		for _, dir := range []string{db1.Dir, empty} {
			if err := member.Halt(context.Background(), dir); err != nil {
				t.Error(err)
			}
		}
	})
	rw := freeport.Address(t)
	_, port, _ := strings.Cut(freeport.Address(t), ":")
	h := runFile(t, fmt.Sprintf(`clusters:
  shop:
    members:
      db1: { url: "postgres://backstay@127.0.0.1:%[1]d/?sslmode=disable", host: here, data: %[2]s, programs: %[3]s, local: "%[4]s" }
      db2: { url: "postgres://backstay@127.0.0.1:%[5]s/?sslmode=disable", host: here, data: %[6]s, programs: %[3]s, local: "postgres://postgres@/postgres?host=%[7]s&port=%[5]s",
        arguments: ["-c", port=%[5]s, "-c", listen_addresses=127.0.0.1, "-c", unix_socket_directories=%[7]s] }
    listen: { rw: "%[8]s" }
    failover: { mode: manual, sync: 0 }
`, db1.Port, db1.Dir, db1.Programs.Dir, db1.SocketURL(pgtest.Admin), port, empty, sockets, rw))
	w := &trio{Host: h}
	until(t, "the only server with data is adopted", func() bool { return w.cluster(t).Primary == "db1" }, func() string { return fmt.Sprintf("%+v", w.cluster(t)) })
	var out api.ClusterOutcome
	until(t, "the empty member is filled, and follows", func() (ok bool) {
		var err error
		out, err = w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "rejoin", To: "db2", By: "anna"})
		return err == nil && out.Done
	}, func() string { return fmt.Sprintf("%+v, %+v", out, w.cluster(t)) })
	until(t, "it is taken as primary, once it has been seen to follow", func() bool {
		var err error
		out, err = w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "switchover", To: "db2", By: "anna"})
		if err != nil && !strings.Contains(err.Error(), "does not follow") {
			t.Fatalf("switchover to it: %+v, %v", out, err)
		}
		return err == nil && out.Primary == "db2"
	}, func() string { return fmt.Sprintf("%+v, %+v", out, w.cluster(t)) })
	if got, err := say(t.Context(), rw, "select text || inet_server_port()::text from notes"); err != nil || got != "before"+port {
		t.Errorf("notes %q, %v", got, err)
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

// TestTheHealthAddressAlone: applications that connect to the servers themselves ask who is primary, and no listener is needed for that.
func TestTheHealthAddressAlone(t *testing.T) {
	w := newServersWith(t, 2, "{ mode: automatic, max_loss: 0B, degraded: true }", "")
	health := freeport.Address(t)
	reload(t, w.Host, strings.Replace(w.file, fmt.Sprintf("rw: %q, ro: %q, ask_idle: 100ms", w.rw, w.ro), fmt.Sprintf("health: %q", health), 1))
	asked := func() (answer where) {
		r, err := http.Get("http://" + health + "/primary")
		if err != nil {
			return answer
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
			t.Error(err)
		}
		return answer
	}
	until(t, "it says where the primary is", func() bool {
		a := asked()
		return a.Primary == "db1" && a.Address == fmt.Sprintf("127.0.0.1:%d", w.servers[0].Port)
	})
	until(t, "the replica may take over", func() bool {
		c := w.cluster(t)
		return c.Members[1].Role == "replica" && c.Members[1].Following == "db1" && settled(c)
	})
	if out, err := w.Order(t.Context(), "shop", api.ClusterOrder{Verb: "switchover", To: "db2", By: "anna"}); err != nil || out.Primary != "db2" {
		t.Errorf("switchover: %+v, %v", out, err)
	}
	until(t, "it says where the next primary is", func() bool { return asked().Primary == "db2" })
}

// TestServersThatDemandAPassword: over SQL alone the password is where the URL says, for Backstay and for replicas that follow another primary.
func TestServersThatDemandAPassword(t *testing.T) {
	w := newTrio(t, true)
	w.serving(t, "")
	t.Setenv("SHOP_PASSWORD", pgtest.Password)
	t.Setenv("PGPASSWORD", "wrong")
	for _, s := range w.servers {
		s.HBA(t, "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n")
		s.Exec(t, "select pg_reload_conf()")
	}
	reload(t, w.Host, strings.ReplaceAll(w.file, "?sslmode=disable", "?sslmode=disable&auth=env:SHOP_PASSWORD"))
	first := w.serving(t, "")
	w.servers[0].Crash(t)
	after := w.serving(t, first.Primary)
	until(t, "the other replica follows the new primary, and commits wait for it", func() bool {
		for i, s := range w.servers[1:] {
			if fmt.Sprintf("db%d", i+2) == after.Primary {
				return s.Ask(t, "select count(*)::text from pg_stat_replication where state = 'streaming'") == "1"
			}
		}
		return false
	})
}

// TestAServerOfAnotherClusterIsRefused: by the agents' sessions, or by those of the keeper that has the lock.
func TestAServerOfAnotherClusterIsRefused(t *testing.T) {
	for _, bare := range []bool{false, true} {
		t.Run(fmt.Sprintf("bare %t", bare), func(t *testing.T) {
			w := newTrio(t, bare)
			first := w.serving(t, "")
			cfg, err := config.Parse("f", []byte(strings.Replace(w.file, "  shop:", "  crm:", 1)))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Path = filepath.Join(t.TempDir(), "f")
			found, err := NewHost(cfg, nil).InspectCluster(t.Context(), "crm")
			if err != nil {
				t.Fatal(err)
			}
			refused := func(member, reason string) bool {
				return slices.ContainsFunc(found.Refused, func(r api.ClusterRefusal) bool { return r.Member == member && strings.Contains(r.Reason, reason) })
			}
			if !refused(first.Primary, "belongs to cluster shop") || !refused("", w.rw+" is taken") {
				t.Errorf("refused: %+v", found.Refused)
			}
			if own, err := w.InspectCluster(t.Context(), "shop"); err != nil || len(own.Refused) > 0 {
				t.Errorf("its own cluster: %+v, %v", own.Refused, err)
			}
		})
	}
}
