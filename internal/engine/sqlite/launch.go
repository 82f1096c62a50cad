package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

var _ engine.Launcher = Engine{}

// Launch opens the restored database with SQLite, read-only and without locks, WAL or shared memory, so that nothing is
// written beside it. There is no server: the "server" is a connection of this process.
func (Engine) Launch(ctx context.Context, dir string, r engine.Reached) (engine.Server, error) {
	name, err := databaseIn(dir)
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	l := &launched{path: path, reached: r, dsn: dsn(path, "mode=ro&immutable=1")}
	if l.db, err = sql.Open("sqlite", l.dsn); err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	l.db.SetMaxOpenConns(1)
	return l, nil
}

// Clock is engine.Clocked's: the format of SQLite has no room for times.
func (Engine) Clock() string { return "that of the host that captures, when it saw the commit" }

// launched is a restored database that is open.
type launched struct {
	path    string
	dsn     string
	reached engine.Reached
	db      *sql.DB
}

// DSN is a URI that any SQLite opens with SQLITE_OPEN_URI.
func (l *launched) DSN() string { return l.dsn }

// Stop closes the database.
func (l *launched) Stop(context.Context) error { return l.db.Close() }

// Verify is engine.Server's.
func (l *launched) Verify(ctx context.Context) ([]engine.Check, error) {
	var checks []engine.Check
	for _, c := range []struct {
		name string
		run  func(context.Context) (bool, string, error)
	}{{"page checksum", l.checksum}, {"integrity_check", l.integrity}, {"journal", l.alone}} {
		start := time.Now()
		ok, detail, err := c.run(ctx)
		if ctx.Err() != nil {
			return checks, ctx.Err()
		}
		if err != nil {
			return checks, fmt.Errorf("%s: %w", c.name, err)
		}
		checks = append(checks, engine.Check{Name: c.name, OK: ok, Detail: detail, Seconds: time.Since(start).Seconds()})
	}
	return checks, nil
}

// checksum compares every page with what the log recorded for the position.
func (l *launched) checksum(ctx context.Context) (bool, string, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return false, "", err
	}
	defer f.Close()
	sum, err := fileSum(ctx, f)
	if err != nil {
		return false, err.Error(), nil
	}
	got := checksum(sum).String()
	if l.reached.Digest == "" {
		return true, got + "; there is none to compare it with", nil
	}
	if got != l.reached.Digest {
		return false, fmt.Sprintf("checksum %s, want %s of %s", got, l.reached.Digest, l.reached.Position), nil
	}
	return true, fmt.Sprintf("checksum %s is that of %s", got, l.reached.Position), nil
}

// integrity asks SQLite whether the structure is sound.
func (l *launched) integrity(ctx context.Context) (bool, string, error) {
	rows, err := l.db.QueryContext(ctx, "PRAGMA integrity_check(20)")
	if err != nil {
		return l.damage(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return false, "", err
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		return l.damage(err)
	}
	detail := strings.Join(lines, "; ")
	return detail == "ok", detail, nil
}

// damage tells SQLite's complaints about the data from trouble of the environment.
func (l *launched) damage(err error) (bool, string, error) {
	switch resultCode(err) {
	case codeCorrupt, codeNotDatabase, codeError:
		return false, err.Error(), nil
	}
	return false, "", err
}

// alone checks that no journal lies beside the database: SQLite would apply it.
func (l *launched) alone(context.Context) (bool, string, error) {
	for _, suffix := range []string{"-wal", "-journal", "-shm"} {
		if _, err := os.Lstat(l.path + suffix); err == nil {
			return false, filepath.Base(l.path) + suffix + " lies beside the database", nil
		}
	}
	return true, "none lies beside the database", nil
}
