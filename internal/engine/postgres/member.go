package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

var (
	_ engine.Member   = Engine{}
	_ engine.Secured  = (*looker)(nil)
	_ engine.Verifier = (*looker)(nil)
)

// Member returns who asks the one server behind url, which must be reached over TCP, since clients are led there.
func (Engine) Member(raw string) (engine.Looker, error) {
	config, err := parseURL(raw)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("read URL: %w", err)
	}
	l := &looker{source: &Source{url: raw, config: config}, address: net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))}
	l.Ask, l.Explain = look, l.explain
	l.Dial = func(ctx context.Context) (*pgconn.PgConn, error) { return pgconnConnect(ctx, raw) }
	l.Drop = func(conn *pgconn.PgConn) { go closeSoon(conn.Close) } // a server that hangs must not hold up the next look
	for _, f := range config.Fallbacks {
		if f.Host != config.Host || f.Port != config.Port {
			return nil, engine.WithHint("make each server a member of its own", "read URL: a member is one server, and it names several")
		}
	}
	if config.Host == "" || config.Host[0] == '/' {
		return nil, engine.WithHint("for example postgres://backstay@10.0.0.2:5432/", "read URL: clients are led to a member, so it needs a host")
	}
	switch mode := u.Query().Get("sslmode"); mode {
	case "require", "verify-ca", "verify-full":
		l.tls = config.TLSConfig.Clone()
		l.tls.ServerName = ""
	}
	return l, nil
}

// looker asks one server for its role.
type looker struct {
	source  *Source
	address string
	tls     *tls.Config // nil: clients are led there without encryption
	engine.Kept[*pgconn.PgConn]
}

// Address implements engine.Looker.
func (l *looker) Address() string { return l.address }

// TLS implements engine.Secured.
func (l *looker) TLS() *tls.Config { return l.tls }

// explain is a failed look in one line: it is asked four times a second, and shown beside the member's address.
func (l *looker) explain(ctx context.Context, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("look at %s: no answer in time: %w", l.address, ctx.Err())
	case code(err) == "" && errors.As(err, &op):
		return fmt.Errorf("look at %s: %w", l.address, op.Err)
	}
	return l.source.explain(ctx, "look at "+l.address, err)
}

func pgconnConnect(ctx context.Context, raw string) (*pgconn.PgConn, error) {
	config, err := Settings(ctx, raw)
	if err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, config)
}

// The timeline of a primary is that of the file it writes; the control file says so only after the first checkpoint. That of a standby is
// the one it streams, which needs pg_read_all_stats, or else the one of its last restart point.
const lookSQL = `SELECT pg_catalog.pg_is_in_recovery(),
	(SELECT system_identifier FROM pg_catalog.pg_control_system()),
	pg_catalog.current_setting('server_version'),
	CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END,
	CASE WHEN pg_catalog.pg_is_in_recovery() THEN '' ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END,
	(SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver),
	(SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
	EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver)`

func look(ctx context.Context, conn *pgconn.PgConn) (engine.Sight, error) {
	row, err := queryRow(ctx, conn, lookSQL)
	if err != nil {
		return engine.Sight{}, err
	}
	s := engine.Sight{Role: engine.RolePrimary, SystemID: row[1], Version: row[2], Exact: true, Lag: -1}
	timeline := row[5]
	base := 10
	switch {
	case row[0] == "f":
		timeline, base = row[4], 16
	case row[7] == "f":
		s.Broken = "it streams from nobody"
		fallthrough
	default:
		s.Role = engine.RoleReplica
	}
	if timeline == "" {
		timeline, s.Exact = row[6], false
	}
	n, err := strconv.ParseUint(timeline, base, 32)
	if err != nil {
		return engine.Sight{}, fmt.Errorf("read timeline %q: %w", timeline, err)
	}
	at := wal.LSN(0)
	if row[3] != "" { // a standby that has replayed nothing yet
		if at, err = wal.ParseLSN(row[3]); err != nil {
			return engine.Sight{}, err
		}
	}
	s.Position = history.Position{Timeline: uint32(n), Seq: uint64(at), Mark: at.String()}
	return s, nil
}

// Verifier implements engine.Verifier: by the function that cluster init makes, or, where the role may, from the table.
func (l *looker) Verifier(ctx context.Context, role string) (string, error) {
	conn, err := pgconnConnect(ctx, l.source.url)
	if err != nil {
		return "", l.source.explain(ctx, "read a verifier at "+l.address, err)
	}
	defer closeSoon(conn.Close)
	for _, sql := range []string{"SELECT backstay.verifier($1)", "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin"} {
		rows, err := queryRows(ctx, conn, sql, role)
		switch {
		case err == nil && len(rows) == 0:
			return "", nil
		case err == nil:
			return rows[0][0], nil
		case code(err) != noPrivilege && code(err) != undefinedFunction && code(err) != undefinedSchema:
			return "", l.source.explain(ctx, "read a verifier at "+l.address, err)
		}
	}
	return "", engine.ErrUnreadable
}

// Codes of what cluster init has not made.
const (
	undefinedFunction = "42883"
	undefinedSchema   = "3F000"
)
