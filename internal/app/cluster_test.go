package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/freeport"
)

// hostOfFile is the host of a file.
func hostOfFile(t *testing.T, file string) *Host {
	t.Helper()
	path := filepath.Join(t.TempDir(), config.Name)
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return NewHost(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// runFile runs the daemon of a file until the test ends.
func runFile(t *testing.T, file string) *Host {
	t.Helper()
	h := hostOfFile(t, file)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	asked := make(chan struct{})
	reloads.Store(h, asked)
	go func() {
		ended <- h.Run(ctx, RunOptions{Host: "here", Exit: func(error) int { return 1 }, Reload: asked})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	until(t, "the daemon answers", func() bool {
		s, err := h.Status(t.Context())
		return err == nil && s.Running
	})
	return h
}

// reloads are how daemons of runFile are told to read their files anew.
var reloads sync.Map

// reload puts another file in the place of a daemon's, and has it read.
func reload(t *testing.T, h *Host, file string) {
	t.Helper()
	if err := os.WriteFile(h.Config.Path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	asked, _ := reloads.Load(h)
	asked.(chan struct{}) <- struct{}{}
	asked.(chan struct{}) <- struct{}{} // taken when the first is done
}

func until(t *testing.T, what string, ok func() bool, instead ...func() string) {
	t.Helper()
	for deadline := time.Now().Add((30 + 10*slow) * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, f := range instead {
				what += ": " + f()
			}
			t.Fatalf("not so after a while: %s", what)
		}
	}
}

// say asks through a listener, on a connection of its own.
func say(ctx context.Context, address, query string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*slow*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://app@%s/postgres?sslmode=disable", address))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var answer string
	return answer, conn.QueryRow(ctx, query).Scan(&answer)
}

func TestClientsAreLedToWhoeverIsPrimary(t *testing.T) {
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Setenv("PGPASSWORD", pgtest.Password)
	db1 := pgtest.New(t, pgtest.Options{})
	db1.Exec(t, fmt.Sprintf("create role app login password '%s'", pgtest.Password), "create table notes (n serial, text text)", "grant all on notes, notes_n_seq to app",
		"create schema backstay", "create function backstay.verifier(name text) returns text language sql security definer set search_path = pg_catalog as 'select rolpassword from pg_authid where rolname = name and rolcanlogin'",
		"grant usage on schema backstay to backstay", "grant pg_monitor to backstay")
	db2 := db1.Standby(t, "db2")
	rw, ro, health := freeport.Address(t), freeport.Address(t), freeport.Address(t)
	h := runFile(t, fmt.Sprintf(`clusters:
  shop:
    members:
      db1: { url: "postgres://backstay@127.0.0.1:%d/?sslmode=disable" }
      db2: { url: "postgres://backstay@127.0.0.1:%d/?sslmode=disable" }
    listen: { rw: "%s", ro: "%s", health: "%s", ask_idle: 100ms }
    failover: { mode: external, after: 500ms }
`, db1.Port, db2.Port, rw, ro, health))

	port := "select inet_server_port()::text"
	got, err := say(t.Context(), rw, port)
	if err != nil || got != fmt.Sprint(db1.Port) {
		t.Fatalf("rw leads to %s, %v, want %d", got, err, db1.Port)
	}
	until(t, "ro leads to the standby", func() bool {
		got, err = say(t.Context(), ro, port)
		return err == nil && got == fmt.Sprint(db2.Port)
	})
	db1.Exec(t, "insert into notes (text) values ('before')")
	db2.CatchUp(t)

	idle, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://app@%s/postgres?sslmode=disable", rw))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close(context.Background())
	if _, err := idle.Exec(t.Context(), "set application_name = 'patient'"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // it is asked what it holds

	db1.Crash(t)
	waits := make(chan error, 1)
	go func() {
		_, err := say(context.Background(), rw, "insert into notes (text) values ('new connection') returning text")
		waits <- err
	}()
	db2.Promote(t)
	if err := <-waits; err != nil {
		t.Errorf("who connects while there is no primary: %v", err)
	}
	var text string
	if err := idle.QueryRow(t.Context(), "insert into notes (text) values ('idle') returning current_setting('application_name')").Scan(&text); err != nil || text != "patient" {
		t.Errorf("a session that was idle when the primary died: %q, %v", text, err)
	}
	if got, err := say(t.Context(), rw, "select string_agg(text, ',' order by n) from notes"); err != nil || got != "before,new connection,idle" && got != "before,idle,new connection" && !strings.HasPrefix(got, "before") {
		t.Errorf("notes %q, %v", got, err)
	}

	db1.Start(t) // the old primary comes back as one
	time.Sleep(1500 * time.Millisecond)
	if got, err := say(t.Context(), rw, port); err != nil || got != fmt.Sprint(db2.Port) {
		t.Errorf("with the old primary back rw leads to %s, %v, want %d", got, err, db2.Port)
	}
	s, err := h.Status(t.Context())
	if err != nil || len(s.Clusters) != 1 || s.Clusters[0].Primary != "db2" || s.Clusters[0].Listeners[0].Moved == 0 {
		t.Errorf("status %+v, %v", s.Clusters, err)
	}
	answer, err := http.Get("http://" + health + "/primary")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), fmt.Sprintf(`"address":"127.0.0.1:%d"`, db2.Port)) {
		t.Errorf("health %d %s, %v", answer.StatusCode, body, err)
	}
}

// TestAServerThatHangsIsLedToNoMore: it takes connections, also ours, and answers nobody.
func TestAServerThatHangsIsLedToNoMore(t *testing.T) {
	serve := func(answer string) (address string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = conn.Write([]byte(answer))
					_, _ = io.Copy(io.Discard, conn)
					conn.Close()
				}()
			}
		}()
		return l.Addr().String()
	}
	rw := freeport.Address(t)
	h := runFile(t, fmt.Sprintf(`clusters:
  cache:
    members: { a: { url: "tcp://%s?send=version%%0D%%0A&expect=VERSION" }, b: { url: "tcp://%s?send=version%%0D%%0A&expect=VERSION" } }
    listen: { rw: "%s" }
    failover: external
`, serve(""), serve("VERSION 1.6\r\n"), rw))
	until(t, "clients are led to the one that answers", func() bool {
		s, err := h.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Clusters[0].Primary == "b" && strings.Contains(s.Clusters[0].Members[0].Error, "does not answer")
	})
	conn, err := net.Dial("tcp", rw)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got := make([]byte, len("VERSION 1.6"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "VERSION 1.6" {
		t.Errorf("%q, %v", got, err)
	}
}
