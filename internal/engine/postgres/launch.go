package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// Launch starts a private server on restored data: on a socket that only its user and root can reach, without the
// data's configuration, archiving, jobs and subscriptions. It ends with this process.
func (Engine) Launch(ctx context.Context, dir string, r engine.Reached) (engine.Server, error) {
	f, err := readFacts(dir)
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	srv, role, err := f.start(ctx, server.Config{})
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	l := &launched{facts: f, server: srv, role: role, reached: r}
	if l.next, err = nextTransaction(ctx, srv, role); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, fmt.Errorf("launch: %w", errors.Join(err, l.Stop(stop)))
	}
	return l, nil
}

// nextTransaction is the number of the first transaction that is not in the log.
func nextTransaction(ctx context.Context, srv *server.Server, role string) (next uint64, err error) {
	conn, err := question(ctx, srv, role, anyDatabase)
	if err != nil {
		return 0, err
	}
	defer closeQuietly(conn)
	var text string
	err = conn.QueryRow(ctx, "SELECT txid_snapshot_xmax(txid_current_snapshot())::text").Scan(&text)
	if err != nil {
		return 0, fmt.Errorf("ask for the next transaction: %w", err)
	}
	return strconv.ParseUint(text, 10, 64)
}

// start starts a private server and finds out who is its first superuser, whom each cluster has.
func (f facts) start(ctx context.Context, c server.Config) (*server.Server, string, error) {
	c.Programs, c.Dir, c.User, c.Settings = f.programs, f.dir, f.user, f.scratchSettings()
	role := "postgres"
	for {
		srv, err := server.Start(ctx, c)
		if err != nil {
			return nil, "", err
		}
		err = srv.Ready(ctx)
		if err == nil {
			err = tryRole(ctx, srv, role)
		}
		if err == nil {
			return srv, role, nil
		}
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		serr := srv.Stop(stop, server.Fast)
		cancel()
		var refused *pgconn.PgError
		if serr != nil || role != "postgres" || !errors.As(err, &refused) || refused.Code != "28000" {
			return nil, "", errors.Join(err, serr)
		}
		if role, err = f.firstRole(ctx); err != nil {
			return nil, "", err
		}
	}
}

func tryRole(ctx context.Context, srv *server.Server, role string) error {
	conn, err := question(ctx, srv, role, anyDatabase)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// anyDatabase is one that each cluster has and that takes connections.
const anyDatabase = "template1"

// firstRole asks the server in its single-user mode, in which it asks nobody who he is, for the role with the number 10.
func (f facts) firstRole(ctx context.Context) (string, error) {
	cmd := f.programs.Command(f.user, "postgres", "--single", "-D", f.dir, "-c", "config_file="+os.DevNull, "-c", "shared_preload_libraries=", anyDatabase)
	cmd.Stdin = strings.NewReader("select 'first role: ' || rolname from pg_authid where oid = 10\n")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	_, rest, ok := strings.Cut(string(out), "first role: ")
	name, _, closed := strings.Cut(rest, `"`)
	if !ok || !closed {
		return "", fmt.Errorf("ask for the first superuser: %v: %.300s", err, out)
	}
	return name, nil
}

// Clock is engine.Clocked's.
func (Engine) Clock() string { return "that of the server, when it committed" }

// launched is a private server on restored data.
type launched struct {
	facts   facts
	server  *server.Server
	role    string
	reached engine.Reached
	next    uint64 // number of the first transaction that is not in the log
}

// DSN reaches it through its socket.
func (l *launched) DSN() string { return l.server.DSN(l.role, anyDatabase) }

// Stop ends it cleanly.
func (l *launched) Stop(ctx context.Context) error { return l.server.Stop(ctx, server.Fast) }

// Start leaves a private server running on restored data, beyond the end of this process.
func (Engine) Start(ctx context.Context, dir string) (engine.Running, error) {
	f, err := readFacts(dir)
	if err != nil {
		return engine.Running{}, fmt.Errorf("start: %w", err)
	}
	c := server.Config{LogFile: f.path("backstay_start.log")}
	srv, role, err := f.start(ctx, c)
	if err != nil {
		return engine.Running{}, fmt.Errorf("start: %w", err)
	}
	database := anyDatabase
	if conn, err := pgx.Connect(ctx, srv.DSN(role, peopleDatabase)); err == nil {
		database = peopleDatabase
		_ = conn.Close(ctx) // nothing depends on it
	}
	return engine.Running{DSN: srv.DSN(role, database), Stop: f.pgCtl(f.dir, "-m fast stop"), Log: c.LogFile}, srv.Release()
}

// peopleDatabase is where a person expects to be, if it is there.
const peopleDatabase = "postgres"

// pgCtl is the command line, for people, that runs pg_ctl on a data directory as the server's user.
func (f facts) pgCtl(dir, arguments string) string {
	line := fmt.Sprintf("%s -D %s %s", quoted(filepath.Join(f.programs.Dir, "pg_ctl")), quoted(dir), arguments)
	if os.Geteuid() == 0 {
		return fmt.Sprintf("su %s -c %s", quoted(f.user.Name), quoted(line))
	}
	return line
}

// quoted is a word for a shell.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("%+,-./:=@_", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
