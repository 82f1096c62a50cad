// Package django runs the example project of docs/guide/django, with Debian's Django and psycopg2, on three PostgreSQL servers that
// Backstay keeps, and changes the primary under it.
package django

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/freeport"
	"github.com/backstaydb/backstay/test/self"
)

func TestMain(m *testing.M) {
	self.Main()
	os.Exit(m.Run())
}

// app is the role of the project.
const app = "app"

// world is three servers on one host, and the daemon that keeps them.
type world struct {
	t       *testing.T
	folder  string // of backstay.yaml
	servers []*pgtest.Cluster
	rw, ro  string // addresses of the listeners; "" in the simple shape
	health  string
}

// newWorld makes a cluster that serves. proxied: clients come through listeners, else they ask where the primary is.
func newWorld(t *testing.T, proxied bool) *world {
	t.Helper()
	w := &world{t: t, folder: t.TempDir(), health: freeport.Address(t)}
	settings := map[string]string{"wal_log_hints": "on", "wal_keep_size": "512MB", "wal_retrieve_retry_interval": "100ms", "shared_buffers": "16MB"}
	first := pgtest.New(t, pgtest.Options{Settings: settings})
	first.HBA(t, "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 trust\n")
	first.Exec(t, "select pg_reload_conf()", fmt.Sprintf("create role %s login password '%s'", app, pgtest.Password), "grant create on schema public to public")
	w.servers = append(w.servers, first, first.Standby(t, "db2"), first.Standby(t, "db3"))
	t.Cleanup(func() { // agents start them again, beside what started them first
		for _, s := range w.servers {
			if err := member.Halt(context.Background(), s.Dir); err != nil {
				t.Error(err)
			}
		}
	})
	var file strings.Builder
	file.WriteString("clusters:\n  shop:\n    members:\n")
	for i, s := range w.servers {
		fmt.Fprintf(&file, "      db%d: { url: \"postgres://backstay@127.0.0.1:%d/?sslmode=disable\", host: here, data: %s, programs: %s, local: \"%s\" }\n",
			i+1, s.Port, s.Dir, s.Programs.Dir, s.SocketURL(pgtest.Admin))
	}
	listen := fmt.Sprintf("health: \"%s\"", w.health)
	if proxied {
		w.rw, w.ro = freeport.Address(t), freeport.Address(t)
		listen += fmt.Sprintf(", rw: \"%s\", ro: \"%s\", ask_idle: 200ms", w.rw, w.ro)
	}
	fmt.Fprintf(&file, "    listen: { %s }\n    failover: { mode: automatic, after: 1s, max_loss: 0B }\n", listen)
	if err := os.WriteFile(filepath.Join(w.folder, config.Name), []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.grant()
	w.run()
	w.serving("")
	return w
}

// command is backstay in the world's folder.
func (w *world) command(ctx context.Context, arguments ...string) *exec.Cmd {
	w.t.Helper()
	cmd, err := self.Command(ctx, w.folder, arguments...)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "PGPASSWORD="+pgtest.Password)
	return cmd
}

// grant gives the role the rights that cluster init asks for, and no more.
func (w *world) grant() {
	w.t.Helper()
	out, _ := w.command(w.t.Context(), "cluster", "init", "shop", "--dry-run", "--host", "here", "--json").Output() // it refuses while they are missing
	var found api.ClusterCheck
	if err := json.Unmarshal(out, &found); err != nil || len(found.SQL) == 0 || len(found.Refused) > 0 {
		w.t.Fatalf("cluster init --dry-run: %v\n%s", err, out)
	}
	for _, sql := range slices.Concat(found.SQL, found.Wishes) {
		for statement := range strings.SplitSeq(sql, ";\n") {
			if !strings.Contains(statement, "fsync") { // servers of tests go without
				w.servers[0].Exec(w.t, statement)
			}
		}
	}
}

// run runs the daemon as long as the test.
func (w *world) run() {
	w.t.Helper()
	cmd := w.command(context.Background(), "run", "--host", "here")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second // servers that it started outlive it, and hold the pipe open
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		if w.t.Failed() {
			w.t.Log(said.String())
		}
	})
}

// serving waits until there is a primary, which is not one.
func (w *world) serving(not string) (primary string) {
	w.t.Helper()
	primary, err := w.within(time.Minute, not)
	if err != nil {
		w.t.Fatal(err)
	}
	return primary
}

// within gives the primary that there is within a limit, which is not one, or says what there was last.
func (w *world) within(limit time.Duration, not string) (string, error) {
	var last string
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		answer, err := http.Get("http://" + w.health + "/primary")
		if err == nil {
			var where struct{ Primary string }
			err = json.NewDecoder(answer.Body).Decode(&where)
			_ = answer.Body.Close() // it was read
			if err == nil && where.Primary != "" && where.Primary != not {
				return where.Primary, nil
			}
			last = where.Primary
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("the primary is %q: %v", last, err)
		}
	}
}

// status is what backstay says of the cluster.
func (w *world) status() api.Cluster {
	w.t.Helper()
	out, err := w.command(w.t.Context(), "cluster", "status", "shop", "--json").Output()
	var all []api.Cluster
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil || len(all) != 1 {
		w.t.Fatalf("cluster status: %v\n%s", err, out)
	}
	return all[0]
}

// whole waits until the cluster can bear the loss of its primary.
func (w *world) whole() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		c := w.status()
		following := 0
		for _, m := range c.Members {
			if m.Role == "replica" && m.Following == c.Primary {
				following++
			}
		}
		if following == len(w.servers)-1 && !strings.HasSuffix(c.Sync, api.Unsettled) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("it is not whole: %+v", c)
		}
	}
}

func (w *world) server(name string) *pgtest.Cluster { return w.servers[name[len("db")]-'1'] }

// switchover makes another one primary as planned, and gives its server.
func (w *world) switchover(to string) *pgtest.Cluster {
	w.t.Helper()
	before := w.serving("")
	if out, err := w.command(w.t.Context(), "switchover", "shop", "--to", to, "--reason", "a test").CombinedOutput(); err != nil {
		w.t.Fatalf("switchover: %v\n%s", err, out)
	}
	return w.server(w.serving(before))
}

// failover kills the primary's server, and gives the one that takes its place. An agent that has its server up again before anybody missed it has kept it
// primary, as it should: then that is killed again.
func (w *world) failover() *pgtest.Cluster {
	w.t.Helper()
	before := w.serving("")
	for range 10 {
		if s := w.server(before); s.Running() {
			s.Crash(w.t)
		} else if err := member.Halt(w.t.Context(), s.Dir); err != nil { // the agent started this one
			w.t.Fatal(err)
		}
		if after, err := w.within(5*time.Second, before); err == nil {
			return w.server(after)
		}
	}
	w.t.Fatalf("%s is primary again each time", before)
	return nil
}
