package failover

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// MarkerSQL makes the table for Config.Marker and lets role write to it. Run it once, as the owner of the schema. Each
// transaction of RunTx leaves a row of about 80 bytes in it for at least a day.
func MarkerSQL(table, role string) string {
	return fmt.Sprintf(`create table if not exists %[1]s (
  token text primary key,
  abandoned boolean not null default false,
  at timestamptz not null default now()
);
create index on %[1]s (at);
grant select, insert, delete on %[1]s to %[2]s;`, quoted(table), quoted(role))
}

// quoted makes a name, perhaps with a schema before it, safe in a statement.
func quoted(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

// Rows of the marker's table are removed a day later, at each sweepEvery-th transaction of this process, not in the
// transactions themselves: there the reading would collide with others in serializable ones.
const (
	sweepEvery = 1000
	sweepRows  = 5000
)

var marked atomic.Int64

// sweep removes old rows now and then. What it can't remove is removed next time.
func sweep(ctx context.Context, db *sql.DB, table string) {
	if table == "" || marked.Add(1)%sweepEvery != 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, _ = db.ExecContext(ctx, fmt.Sprintf(`delete from %[1]s where token in (select token from %[1]s where at < now() - interval '1 day' order by at limit %[2]d for update skip locked)`, quoted(table), sweepRows))
}

func newToken() string { return rand.Text() }
