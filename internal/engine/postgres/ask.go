package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/backstaydb/backstay/internal/engine"
)

var _ engine.Asker = (*launched)(nil)

// Reach is the DSN of a database: the one that is named, else the only one that somebody made, else "postgres".
func (l *launched) Reach(ctx context.Context, database string) (string, error) {
	name, err := l.database(ctx, database)
	if err != nil {
		return "", err
	}
	return l.server.DSN(l.role, name), nil
}

// database settles which database is meant. initdb makes template1, template0 and postgres, in this order and before any other.
func (l *launched) database(ctx context.Context, asked string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	conn, err := question(ctx, l.server, l.role, anyDatabase)
	if err != nil {
		return "", err
	}
	defer closeQuietly(conn)
	names, err := column(ctx, conn, "select datname from pg_database where datallowconn and datconnlimit <> -2 and not datistemplate order by datname <> 'postgres', datname")
	if err != nil {
		return "", err
	}
	made := names
	if len(names) > 0 && names[0] == peopleDatabase {
		made = names[1:]
	}
	switch {
	case len(made) == 1:
		return made[0], nil
	case len(made) > 1:
		return "", fmt.Errorf("choose a database: the server has %s; name one with database: in the check, or in the URL of the source", strings.Join(made, ", "))
	case len(names) == 0:
		return "", errors.New("choose a database: the server has none but templates")
	}
	return names[0], nil
}

// closeQuietly ends a connection on which nothing depends any more, also when its context has ended.
func closeQuietly(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// Ask is engine.Asker's: one statement in a read-only transaction. Values are in the server's text format.
func (l *launched) Ask(ctx context.Context, database, query string) (a engine.Answer, err error) {
	name, err := l.database(ctx, database)
	if err != nil {
		return a, err
	}
	conn, err := l.asking(ctx, name)
	if err != nil {
		return a, refusal(ctx, err)
	}
	defer closeQuietly(conn)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return a, refusal(ctx, err)
	}
	result := tx.Conn().PgConn().ExecParams(ctx, query, nil, nil, nil, nil)
	fields := result.FieldDescriptions()
	a.Columns = len(fields)
	for a.Rows < 2 && result.NextRow() {
		if a.Rows++; a.Rows == 1 && len(fields) > 0 {
			a.Null, a.Value = result.Values()[0] == nil, plain(fields[0], result.Values()[0])
		}
	}
	if a.Rows == 2 { // the rest is of no interest, and may be long
		return a, nil
	}
	_, err = result.Close()
	return a, refusal(ctx, err)
}

// asking opens a session with the search path, time zone and so on that an application has, and that ends with ctx at the server too.
func (l *launched) asking(ctx context.Context, database string) (*pgx.Conn, error) {
	c, err := questionConfig(l.server, l.role, database)
	if err != nil {
		return nil, err
	}
	delete(c.RuntimeParams, "search_path")
	c.RuntimeParams["default_transaction_read_only"] = "on"
	if end, ok := ctx.Deadline(); ok {
		left := max(1, time.Until(end).Milliseconds()) + 1000 // we end it first
		c.RuntimeParams["statement_timeout"] = strconv.FormatInt(left, 10)
	}
	return pgx.ConnectConfig(ctx, c)
}

// plain is a value as it is compared: what a person writes for a boolean is not t.
func plain(f pgconn.FieldDescription, value []byte) string {
	if f.DataTypeOID == pgtype.BoolOID {
		return strconv.FormatBool(string(value) == "t")
	}
	return string(value)
}

// refusal tells the server's own no from trouble of the environment: resources, shutdown, connection, I/O.
func refusal(ctx context.Context, err error) error {
	var said *pgconn.PgError
	if err == nil || ctx.Err() != nil || !errors.As(err, &said) {
		return err
	}
	for _, class := range []string{"08", "53", "57", "58"} {
		if strings.HasPrefix(said.Code, class) {
			return err
		}
	}
	return &engine.QueryError{Text: fmt.Sprintf("%s (SQLSTATE %s)", said.Message, said.Code)}
}
