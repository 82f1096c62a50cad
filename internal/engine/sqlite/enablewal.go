package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// EnableWAL turns WAL mode on, for good: it is a property of the file, and the application needs no change. It waits up to
// five seconds for a moment in which no other connection uses the database.
func EnableWAL(ctx context.Context, path string) error {
	path, err := locate(path)
	if err != nil {
		return err
	}
	db, err := open(path, "mode=rw&_pragma=busy_timeout(0)")
	if err != nil {
		return err
	}
	defer db.Close()
	deadline := time.Now().Add(5 * time.Second)
	for {
		var mode string
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode)
		if err == nil && mode == "wal" {
			return nil
		}
		if err == nil {
			return engine.WithHint("the file system may not support shared memory; network file systems do not", "turn on WAL mode of %s: SQLite stays in mode %s", path, mode)
		}
		if !isBusy(err) {
			return explain(path, err)
		}
		if time.Now().After(deadline) {
			return engine.WithHint("stop the application for a moment, or run PRAGMA journal_mode=WAL in it", "turn on WAL mode of %s: the database is in use: %w", path, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("turn on WAL mode of %s: %w", path, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
