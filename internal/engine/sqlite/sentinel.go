package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

var (
	_ engine.Sentineler     = Engine{}
	_ engine.SentinelReader = (*launched)(nil)
)

// sentinelTable is a table in the application's own file.
const sentinelTable = "backstay_sentinel"

// sentinelParameters wait for no writer, and sync nothing: in WAL mode a commit then costs a page or two that the system writes later.
// Checkpoints are left to those who make them now.
const sentinelParameters = "mode=rw&_pragma=busy_timeout(0)&_pragma=synchronous(normal)&_pragma=wal_autocheckpoint(0)"

// sentinel is a connection that writes.
type sentinel struct {
	db  *sql.DB
	now func() time.Time
}

// OpenSentinel is engine.Sentineler's. Without WAL each commit costs two syncs and holds readers up, so that none is written there.
func (Engine) OpenSentinel(ctx context.Context, url string, o engine.Options) (engine.Sentinel, error) {
	s, err := openSentinel(url, o)
	if err != nil {
		return nil, err
	}
	var mode string
	err = s.db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode)
	if err == nil && mode != "wal" {
		err = &engine.NotGrantedError{Text: "in rollback-journal mode a commit each second would hold readers up", Advice: "turn on WAL mode: PRAGMA journal_mode=WAL"}
	}
	if err == nil {
		_, err = s.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+sentinelTable+" (id INTEGER PRIMARY KEY CHECK (id = 1), at TEXT NOT NULL, n INTEGER NOT NULL)")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the sentinel: %w", err), s.Close())
	}
	return s, nil
}

func openSentinel(url string, o engine.Options) (*sentinel, error) {
	path, err := pathOf(url)
	if err != nil {
		return nil, err
	}
	if path, err = locate(path); err != nil {
		return nil, err
	}
	db, err := open(path, sentinelParameters)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &sentinel{db: db, now: o.Now}, nil
}

// Table is engine.Sentinel's.
func (s *sentinel) Table() string { return "table " + sentinelTable }

// Write is engine.Sentinel's.
func (s *sentinel) Write(ctx context.Context) error {
	at := s.now().UTC().Format(time.RFC3339Nano)
	_, err := s.db.ExecContext(ctx, "INSERT INTO "+sentinelTable+" VALUES (1, ?, 1) ON CONFLICT (id) DO UPDATE SET at = excluded.at, n = n + 1", at)
	if err != nil {
		return fmt.Errorf("write the sentinel: %w", err)
	}
	return nil
}

// Close ends the connection.
func (s *sentinel) Close() error { return s.db.Close() }

// DropSentinel is engine.Sentineler's.
func (Engine) DropSentinel(ctx context.Context, url string, o engine.Options, dry bool) (what string, err error) {
	s, err := openSentinel(url, o)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var n int
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", sentinelTable).Scan(&n); err != nil || n == 0 {
		return "", err
	}
	if dry {
		return s.Table(), nil
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := s.db.ExecContext(ctx, "DROP TABLE IF EXISTS "+sentinelTable)
		if err == nil || !isBusy(err) || time.Now().After(end) {
			return s.Table(), err
		}
	}
}

// Sentinel is engine.SentinelReader's.
func (l *launched) Sentinel(ctx context.Context) (s engine.Second, ok bool, err error) {
	var n int
	if err := l.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", sentinelTable).Scan(&n); err != nil || n == 0 {
		return s, false, err
	}
	var at string
	err = l.db.QueryRowContext(ctx, "SELECT at, n FROM "+sentinelTable).Scan(&at, &s.Count)
	if errors.Is(err, sql.ErrNoRows) {
		return s, false, nil
	}
	if err == nil {
		s.Time, err = time.Parse(time.RFC3339Nano, at)
	}
	return s, err == nil, err
}
