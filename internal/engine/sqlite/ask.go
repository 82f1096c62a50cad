package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/backstaydb/backstay/internal/engine"
)

var _ engine.Asker = (*launched)(nil)

// Reach is the path of the file, which every client takes.
func (l *launched) Reach(_ context.Context, database string) (string, error) {
	if database != "" && database != "main" {
		return "", fmt.Errorf("find database %q: a file of SQLite holds one, main", database)
	}
	return l.path, nil
}

// Ask is engine.Asker's. The query can read this database and no other file: nothing can be attached.
func (l *launched) Ask(ctx context.Context, database, query string) (a engine.Answer, err error) {
	if _, err := l.Reach(ctx, database); err != nil {
		return a, err
	}
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	if _, err := driver.Limit(conn, lib.SQLITE_LIMIT_ATTACHED, 0); err != nil {
		return a, err
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA query_only=1"); err != nil {
		return a, refused(ctx, err)
	}
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return a, refused(ctx, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return a, err
	}
	a.Columns = len(columns)
	for a.Rows < 2 && rows.Next() {
		if a.Rows++; a.Rows == 1 && a.Columns > 0 {
			if a.Value, a.Null, err = firstValue(rows, a.Columns); err != nil {
				return a, err
			}
		}
	}
	return a, refused(ctx, rows.Err())
}

// refused tells SQLite's refusals from trouble of the environment.
func refused(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	switch resultCode(err) {
	case 0, lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_NOMEM, lib.SQLITE_INTERRUPT, lib.SQLITE_IOERR, lib.SQLITE_FULL, lib.SQLITE_CANTOPEN:
		return err
	}
	return &engine.QueryError{Text: err.Error()}
}

// firstValue is the first column of the current row as SQLite's shell writes it.
func firstValue(rows *sql.Rows, columns int) (value string, null bool, err error) {
	values, places := make([]any, columns), make([]any, columns)
	for i := range values {
		places[i] = &values[i]
	}
	if err := rows.Scan(places...); err != nil {
		return "", false, err
	}
	switch v := values[0].(type) {
	case nil:
		return "", true, nil
	case []byte:
		return string(v), false, nil
	case float64:
		text := strconv.FormatFloat(v, 'g', 15, 64)
		if v == float64(int64(v)) {
			text = strconv.FormatFloat(v, 'f', 1, 64)
		}
		return text, false, nil
	case time.Time: // the driver reads columns declared as dates
		return v.Format("2006-01-02 15:04:05.999999999"), false, nil
	default:
		return fmt.Sprint(v), false, nil
	}
}
