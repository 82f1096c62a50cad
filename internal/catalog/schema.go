package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// migrations lead from one version of the schema to the next, forward only: the n-th makes version n+1. One that was
// released is never changed. Times are microseconds since 1970, 0 where there is none.
var migrations = []string{`
CREATE TABLE holding (
	id INTEGER PRIMARY KEY,
	source TEXT NOT NULL,
	repository TEXT NOT NULL,
	engine TEXT NOT NULL,
	origin TEXT NOT NULL,
	checkpoint INTEGER NOT NULL,
	leaves INTEGER NOT NULL,
	checkpoint_time INTEGER NOT NULL,
	whole_position TEXT NOT NULL,
	whole_time INTEGER NOT NULL,
	listed INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	bases INTEGER NOT NULL,
	segments INTEGER NOT NULL,
	tips INTEGER NOT NULL,
	reports INTEGER NOT NULL,
	last_base TEXT NOT NULL,
	damaged INTEGER NOT NULL DEFAULT 0,
	synced INTEGER NOT NULL,
	UNIQUE (source, repository)
);
CREATE TABLE object (
	holding INTEGER NOT NULL,
	leaf INTEGER NOT NULL,
	name TEXT NOT NULL,
	kind TEXT NOT NULL,
	size INTEGER NOT NULL,
	good INTEGER NOT NULL,
	good_deep INTEGER NOT NULL,
	was_read INTEGER NOT NULL,
	damage TEXT NOT NULL,
	PRIMARY KEY (holding, leaf)
) WITHOUT ROWID;
CREATE INDEX object_good ON object (holding, good);
CREATE INDEX object_good_deep ON object (holding, good_deep);
CREATE INDEX object_damage ON object (holding) WHERE damage <> '';
CREATE TABLE base (
	holding INTEGER NOT NULL,
	id TEXT NOT NULL,
	stop_time INTEGER NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (holding, id)
) WITHOUT ROWID;
CREATE TABLE run (
	id TEXT PRIMARY KEY,
	kind TEXT NOT NULL,
	source TEXT NOT NULL,
	repository TEXT NOT NULL,
	owner TEXT NOT NULL,
	decision TEXT NOT NULL,
	began INTEGER NOT NULL,
	ended INTEGER NOT NULL,
	outcome TEXT NOT NULL,
	error TEXT NOT NULL,
	bytes INTEGER NOT NULL,
	phases TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX run_began ON run (began);
CREATE INDEX run_source ON run (source, began);
CREATE INDEX run_kind ON run (source, kind, began);
CREATE INDEX run_running ON run (began) WHERE ended = 0;
CREATE TABLE activity (
	source TEXT NOT NULL,
	kind TEXT NOT NULL,
	last_run TEXT NOT NULL,
	last_began INTEGER NOT NULL,
	last_ended INTEGER NOT NULL,
	last_outcome TEXT NOT NULL,
	last_error TEXT NOT NULL,
	ok_began INTEGER NOT NULL,
	ok_ended INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	PRIMARY KEY (source, kind)
) WITHOUT ROWID;
CREATE TABLE drill (
	source TEXT NOT NULL,
	repository TEXT NOT NULL,
	report TEXT NOT NULL,
	began INTEGER NOT NULL,
	verdict TEXT NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (source, repository, report)
) WITHOUT ROWID;
CREATE INDEX drill_began ON drill (source, repository, began);
CREATE INDEX drill_verdict ON drill (source, repository, verdict, began);
CREATE TABLE position (
	holding INTEGER NOT NULL,
	step INTEGER NOT NULL,
	slot INTEGER NOT NULL,
	time INTEGER NOT NULL,
	position TEXT NOT NULL,
	lag INTEGER NOT NULL,
	lag_max INTEGER NOT NULL,
	PRIMARY KEY (holding, step, slot)
) WITHOUT ROWID;
CREATE TABLE state (
	key TEXT PRIMARY KEY,
	value BLOB NOT NULL,
	changed INTEGER NOT NULL
) WITHOUT ROWID;
`}

// migrate brings the file to the newest version. Of several processes that do it one wins, and the others find it done.
func (c *Catalog) migrate(ctx context.Context, all []string) error {
	var have int
	if err := c.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return c.failed("open catalog", err)
	}
	if have < len(all) {
		err := c.update(ctx, "migrate catalog", func(tx *sql.Tx) error {
			if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
				return err
			}
			for ; have < len(all); have++ {
				if _, err := tx.ExecContext(ctx, all[have]); err != nil {
					return fmt.Errorf("to version %d: %w", have+1, err)
				}
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", have))
			return err
		})
		if err != nil {
			return err
		}
	}
	if have > len(all) {
		return &NewerError{Path: c.path, Have: have, Max: len(all)}
	}
	// A file that begins well may still lack what every question needs.
	var tables int
	err := c.write.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('holding', 'object', 'run', 'state')").Scan(&tables)
	if err == nil && tables != 4 {
		return &DamagedError{Path: c.path, Cause: fmt.Errorf("it has %d of 4 tables", tables)}
	}
	return c.failed("open catalog", err)
}

// Verify reads the whole file and says whether it is sound. What is not is a DamagedError, and the next Open makes the
// catalog anew.
func (c *Catalog) Verify(ctx context.Context) error {
	return c.query(ctx, "verify catalog", func(scan func(...any) error) error {
		var result string
		if err := scan(&result); err != nil || result == "ok" {
			return err
		}
		return c.damaged(errors.New(result))
	}, "PRAGMA quick_check(1)")
}
