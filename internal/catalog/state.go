package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// PutState keeps a value under a key: the scheduler's state, the notifier's. The catalog does not look into it.
func (c *Catalog) PutState(ctx context.Context, key string, value json.RawMessage) error {
	if key == "" || !json.Valid(value) {
		return fmt.Errorf("keep state %q: no key, or a value that is no JSON: %w", key, fs.ErrInvalid)
	}
	return c.update(ctx, "keep state "+key, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO state (key, value, changed) VALUES (?, ?, ?)", key, []byte(value), stamp(time.Now()))
		return err
	})
}

// State returns what PutState kept; fs.ErrNotExist if there is nothing.
func (c *Catalog) State(ctx context.Context, key string) (json.RawMessage, error) {
	var value []byte
	err := c.read.QueryRowContext(ctx, "SELECT value FROM state WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = fs.ErrNotExist
	}
	return value, c.failed("read state "+key, err)
}
