package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/jackc/pgx/v5/pgconn"
)

// settings is the configuration for a connection, with secrets and certificates as they are now: a password may have
// been changed since the last one.
func (s *Source) settings(ctx context.Context) (*pgconn.Config, error) { return Settings(ctx, s.url) }

// replication opens a connection in replication mode. Whoever opens it closes it.
func (s *Source) replication(ctx context.Context) (*replication.Conn, error) {
	return s.replicationAs(ctx, "")
}

// streaming opens the connection that log is streamed over.
func (s *Source) streaming(ctx context.Context) (*replication.Conn, error) {
	return s.replicationAs(ctx, s.receiver)
}

// replicationAs opens one under a name; "": that which all connections have.
func (s *Source) replicationAs(ctx context.Context, name string) (*replication.Conn, error) {
	settings, err := s.settings(ctx)
	if err != nil {
		return nil, err
	}
	if name != "" {
		settings.RuntimeParams["application_name"] = name
	}
	conn, err := replication.Open(ctx, settings)
	if err != nil {
		return nil, s.explain(ctx, "connect to "+s.where(), err)
	}
	return conn, nil
}

// sql opens a connection to a database. Not every role that may replicate may have one.
func (s *Source) sql(ctx context.Context) (*pgconn.PgConn, error) {
	settings, err := s.settings(ctx)
	if err != nil {
		return nil, err
	}
	return s.database(ctx, settings)
}

// database connects to a database.
func (s *Source) database(ctx context.Context, settings *pgconn.Config) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, settings)
	if err == nil {
		return conn, nil
	}
	what := fmt.Sprintf("connect to database %s of %s", settings.Database, s.where())
	if code(err) == tooMany && ctx.Err() == nil { // it is not about max_wal_senders
		return nil, engine.WithHint("raise max_connections and restart the server, or end connections that are not used", "%s: %w", what, err)
	}
	return nil, s.explain(ctx, what, err)
}

// code is the server's code of an error (SQLSTATE), "" if it is none of its errors.
func code(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// Codes of the server's errors.
const (
	noAuthorization   = "28000"
	wrongPassword     = "28P01"
	noPrivilege       = "42501"
	noDatabase        = "3D000"
	tooMany           = "53300"
	limitReached      = "53400"
	inUse             = "55006"
	wrongState        = "55000"
	notReady          = "57P03"
	undefinedObject   = "42704"
	undefinedFile     = "58P01"
	ioError           = "58030"
	dataCorrupted     = "XX001"
	alreadyThere      = "42710"
	featureNotEnabled = "0A000"
)

// noDatabaseFor reports whether the server refused a connection to a database because of who we are, or as it has no such database: it will again.
func noDatabaseFor(err error) bool {
	switch code(err) {
	case noAuthorization, wrongPassword, noPrivilege, noDatabase:
		return true
	}
	return false
}

// explain puts a refusal into words that say what to do about it.
func (s *Source) explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return s.explainNetwork(what, err)
	}
	role := s.config.User
	hint := ""
	switch refused.Code {
	case noPrivilege:
		hint = fmt.Sprintf(`give the role the right to replicate: ALTER ROLE %s REPLICATION;`, quoteIdentifier(role))
	case wrongPassword:
		hint = "check the password in ~/.pgpass, the file that PGPASSFILE names, or PGPASSWORD; the database in a line of it must be * or replication"
	case noAuthorization:
		hint = fmt.Sprintf("the role must exist (CREATE ROLE %s LOGIN REPLICATION PASSWORD '…';) and pg_hba.conf must let it in; "+
			"the word all does not stand for replication there: host replication %s ADDRESS/32 scram-sha-256, then SELECT pg_reload_conf();",
			quoteIdentifier(role), role)
	case noDatabase:
		hint = "name one in the URL: postgres://user@host:5432/database"
	case tooMany:
		hint = "raise it and restart the server: ALTER SYSTEM SET max_wal_senders = 10; where it is 0, wal_level = replica is needed too"
		if strings.Contains(refused.Routine, "Backend") {
			hint = "raise max_connections and restart the server, or end connections that are not used"
		}
	case limitReached:
		hint = "drop what is not used (SELECT slot_name FROM pg_replication_slots WHERE NOT active;), or raise it and restart the server: ALTER SYSTEM SET max_replication_slots = 10;"
	case inUse:
		hint = "another process uses our slot: is a second daemon protecting this server under the same source name? SELECT pid, application_name, client_addr FROM pg_stat_replication;"
	case wrongState, featureNotEnabled:
		hint = "set it and restart the server: ALTER SYSTEM SET wal_level = 'replica';"
	case notReady:
		hint = "the server is starting, recovering or stopping; it is tried again"
	}
	// The whole of a connection's error names each address that was tried; the server's own words say more.
	return engine.WithHint(hint, "%s: %w", what, refused)
}

func (s *Source) explainNetwork(what string, err error) error {
	if hint := tlsHint(err); hint != "" {
		return engine.WithHint(hint, "%s: %w", what, err)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return engine.WithHint("is the server running, does it listen there (listen_addresses, port), and does a firewall let us through?", "%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// quoteIdentifier quotes a name where SQL needs it.
func quoteIdentifier(name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == "" && name != "" && (name[0] < '0' || name[0] > '9') {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
