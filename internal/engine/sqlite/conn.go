package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the only SQLite in this process: a second one would break the locks of both
)

// readOnly connections take read transactions and nothing else. When such a connection is the last to close it neither
// checkpoints nor removes the WAL, because it may not write the database.
const (
	readOnly  = "mode=ro&_pragma=busy_timeout(2000)&_pragma=query_only(1)"
	readWrite = "mode=rw&_pragma=busy_timeout(0)&_pragma=wal_autocheckpoint(0)"
)

// restful is after how long a connection that is not needed is closed: a host may have hundreds of databases that rest.
const restful = 30 * time.Second

// most is how many connections that are not needed a pool keeps.
const most = 8

// open returns a pool for path. Connections that may write stay open until rest or detach closes them: the last one would fold the WAL in.
func open(path, parameters string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, parameters))
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(most)
	if parameters == readOnly {
		db.SetConnMaxIdleTime(restful)
	}
	db.SetConnMaxLifetime(0)
	return db, nil
}

// reading is an open read transaction: the pin that keeps a WAL from being reset, or the shared lock in rollback mode.
type reading struct {
	conn  *sql.Conn
	since walIndex // of a WAL before the transaction began, where that is known

	mu    sync.Mutex
	users int
}

// read begins a read transaction on a connection of db. The caller ends it with release.
func read(ctx context.Context, db *sql.DB) (*reading, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		conn.Close()
		return nil, err
	}
	var n int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)").Scan(&n); err != nil {
		r := &reading{conn: conn, users: 1}
		r.release()
		return nil, fmt.Errorf("begin a read transaction: %w", err)
	}
	return &reading{conn: conn, users: 1}, nil
}

// rest closes the connections that may write once nothing has been committed for a while. The caller holds the pin: as long as another
// connection reads, SQLite does not fold the WAL in.
func (s *Source) rest() {
	if time.Since(s.busy) < s.limits.restAfter || s.writers.Stats().Idle == 0 {
		return
	}
	s.writers.SetMaxIdleConns(0)
	s.writers.SetMaxIdleConns(most)
}

// retain adds a user; the transaction ends when all have released it.
func (r *reading) retain() *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users++
	return r
}

// release ends the transaction if nobody else uses it. It is not affected by a cancelled context: locks must go.
func (r *reading) release() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users--; r.users > 0 {
		return
	}
	_, _ = r.conn.ExecContext(context.Background(), "ROLLBACK")
	_ = r.conn.Close()
}
