package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// URL reaches the server over TCP, with the password, as a person gives it to Backstay.
func (c *Cluster) URL(role string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres?sslmode=disable", url.UserPassword(role, Password), c.Port)
}

// HostsURL reaches whichever of several servers has the attribute ("read-write", "any" …), over TCP and without the
// password.
func HostsURL(role, attribute string, list ...*Cluster) string {
	var hosts []string
	for _, c := range list {
		hosts = append(hosts, "127.0.0.1:"+strconv.Itoa(c.Port))
	}
	q := url.Values{"target_session_attrs": {attribute}, "sslmode": {"disable"}}
	return fmt.Sprintf("postgres://%s@%s/postgres?%s", role, strings.Join(hosts, ","), q.Encode())
}

// SocketURL reaches the server through its socket, where no password is asked for.
func (c *Cluster) SocketURL(role string) string {
	q := url.Values{"host": {c.sockets}, "port": {strconv.Itoa(c.Port)}}
	return fmt.Sprintf("postgres://%s@/postgres?%s", role, q.Encode())
}

// Connect connects as superuser. The connection is closed when the test is over.
func (c *Cluster) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := c.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSoon(conn) })
	return conn
}

// Dial is Connect without a test that fails. Who calls it closes the connection.
func (c *Cluster) Dial(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, c.SocketURL(Admin))
}

// Exec runs statements as superuser, several in one text if none of them returns what matters.
func (c *Cluster) Exec(t testing.TB, statements ...string) {
	t.Helper()
	conn := c.connectBriefly(t)
	defer closeSoon(conn)
	for _, s := range statements {
		if _, err := conn.PgConn().Exec(t.Context(), s).ReadAll(); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Ask gives the one value of a query as text, "" for null.
func (c *Cluster) Ask(t testing.TB, query string, arguments ...any) string {
	t.Helper()
	conn := c.connectBriefly(t)
	defer closeSoon(conn)
	v, err := value(t.Context(), conn, query, arguments...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// LSN is how far the server has written its log.
func (c *Cluster) LSN(t testing.TB) wal.LSN {
	t.Helper()
	l, err := wal.ParseLSN(c.Ask(t, "select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (c *Cluster) connectBriefly(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := c.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func value(ctx context.Context, conn *pgx.Conn, query string, arguments ...any) (string, error) {
	rows := make([][]byte, len(arguments))
	for i, a := range arguments {
		rows[i] = fmt.Append(nil, a)
	}
	r := conn.PgConn().ExecParams(ctx, query, rows, nil, nil, nil).Read()
	if r.Err != nil {
		return "", r.Err
	}
	return first(r)
}

func first(r *pgconn.Result) (string, error) {
	if len(r.Rows) != 1 || len(r.Rows[0]) == 0 {
		return "", fmt.Errorf("%d rows, want one", len(r.Rows))
	}
	return string(r.Rows[0][0]), nil
}

// closeSoon closes a connection whose server may be gone.
func closeSoon(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the server may have been killed on purpose
}
