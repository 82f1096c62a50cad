package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
)

var (
	_ engine.Sentineler     = Engine{}
	_ engine.SentinelReader = (*launched)(nil)
)

// The place of the sentinel, in the database that the URL names.
const (
	sentinelSchema = "backstay"
	sentinelTable  = "backstay.sentinel"
)

// sentinelSettings keep it from waiting, for locks or for the disk: a commit that is lost in a crash was of the last half second.
const sentinelSettings = "SET synchronous_commit = off; SET statement_timeout = '2s'; SET lock_timeout = '200ms'; SET search_path = ''"

// sentinel is a session that writes.
type sentinel struct {
	source *Source
	conn   *pgconn.PgConn
	name   string
}

// OpenSentinel is engine.Sentineler's. A role that may not make the schema can be given one.
func (e Engine) OpenSentinel(ctx context.Context, url string, o engine.Options) (engine.Sentinel, error) {
	s, err := e.sentinel(ctx, url, o)
	if err != nil {
		return nil, err
	}
	there, err := s.there(ctx)
	if err == nil && !there {
		err = s.create(ctx)
	}
	switch {
	case err == nil:
		return s, nil
	case code(err) == noPrivilege:
		role := quoteIdentifier(s.source.config.User)
		err = &engine.NotGrantedError{Text: fmt.Sprintf("the role may not make %s in database %s", sentinelTable, s.source.config.Database),
			Advice: fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s;", sentinelSchema, role)}
	case code(err) == readOnlyTransaction:
		err = &engine.NotGrantedError{Text: "the server is read-only: a standby, or default_transaction_read_only is set"}
	default:
		err = s.source.explain(ctx, "make the sentinel", err)
	}
	return nil, errors.Join(err, s.Close())
}

// readOnlyTransaction is the server's code for a write where none may be.
const readOnlyTransaction = "25006"

// sentinel opens the session.
func (Engine) sentinel(ctx context.Context, url string, o engine.Options) (*sentinel, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	s := &Source{url: url, config: config, options: o}
	conn, err := s.sql(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, sentinelSettings).ReadAll(); err != nil {
		closeSoon(conn.Close)
		return nil, s.explain(ctx, "make the sentinel", err)
	}
	return &sentinel{source: s, conn: conn, name: o.Name}, nil
}

func (s *sentinel) there(ctx context.Context) (bool, error) {
	row, err := queryRow(ctx, s.conn, "SELECT to_regclass('"+sentinelTable+"') IS NOT NULL")
	return err == nil && row[0] == "t", err
}

// create makes the table. The row is updated in place (HOT) in a page with room, so that nothing need be cleaned up.
func (s *sentinel) create(ctx context.Context) error {
	row, err := queryRow(ctx, s.conn, "SELECT to_regnamespace('"+sentinelSchema+"') IS NOT NULL")
	if err != nil {
		return err
	}
	if row[0] != "t" {
		if _, err := s.conn.Exec(ctx, "CREATE SCHEMA "+sentinelSchema).ReadAll(); err != nil {
			return err
		}
	}
	_, err = s.conn.Exec(ctx, "CREATE TABLE "+sentinelTable+" (source text PRIMARY KEY, at timestamptz NOT NULL, n bigint NOT NULL) WITH (fillfactor = 10, autovacuum_enabled = false); "+
		"COMMENT ON TABLE "+sentinelTable+" IS 'Backstay writes the time here each second, so that recovered data says which second it is. backstay unprotect removes it.'").ReadAll()
	return err
}

// Table is engine.Sentinel's.
func (s *sentinel) Table() string {
	return "table " + sentinelTable + " in database " + s.source.config.Database
}

// Write is engine.Sentinel's.
func (s *sentinel) Write(ctx context.Context) error {
	_, err := queryRows(ctx, s.conn, "INSERT INTO "+sentinelTable+" AS s VALUES ($1, clock_timestamp(), 1) ON CONFLICT (source) DO UPDATE SET at = excluded.at, n = s.n + 1", s.name)
	if err != nil {
		return s.source.explain(ctx, "write the sentinel", err)
	}
	return nil
}

// Close ends the session.
func (s *sentinel) Close() error {
	closeSoon(s.conn.Close)
	return nil
}

// DropSentinel is engine.Sentineler's.
func (e Engine) DropSentinel(ctx context.Context, url string, o engine.Options, dry bool) (what string, err error) {
	s, err := e.sentinel(ctx, url, o)
	if noDatabaseFor(err) {
		return "", nil // whoever may not connect has made none
	}
	if err != nil {
		return "", err
	}
	defer s.Close()
	there, err := s.there(ctx)
	if err != nil || !there {
		return "", err
	}
	row, err := queryRow(ctx, s.conn, "SELECT count(*) FROM "+sentinelTable+" WHERE source <> $1", s.name)
	if err != nil {
		return "", s.source.explain(ctx, "look at the sentinel", err)
	}
	others, err := strconv.Atoi(row[0])
	if err != nil {
		return "", err
	}
	what, drop := s.Table(), "DROP TABLE "+sentinelTable
	if others > 0 {
		what, drop = "the row of "+s.name+" in "+s.Table(), ""
	}
	if dry {
		return what, nil
	}
	_, err = queryRows(ctx, s.conn, "DELETE FROM "+sentinelTable+" WHERE source = $1", s.name)
	if err == nil && drop != "" {
		_, err = s.conn.Exec(ctx, drop).ReadAll()
	}
	if err != nil {
		return what, s.source.explain(ctx, "remove the sentinel", err)
	}
	if drop != "" { // the schema may be another's, or hold other things: then it stays
		_, _ = s.conn.Exec(ctx, "DROP SCHEMA "+sentinelSchema+" RESTRICT").ReadAll()
	}
	return what, nil
}

// Sentinel is engine.SentinelReader's.
func (l *launched) Sentinel(ctx context.Context) (s engine.Second, ok bool, err error) {
	v, found := &verification{launched: l}, &findingError{}
	err = v.each(ctx, found, func(conn *pgx.Conn, _ string) error {
		there, err := column(ctx, conn, "select to_regclass('"+sentinelTable+"')::text where to_regclass('"+sentinelTable+"') is not null")
		if err != nil || len(there) == 0 {
			return err
		}
		var one engine.Second
		err = conn.QueryRow(ctx, "select at, n from "+sentinelTable+" order by at desc limit 1").Scan(&one.Time, &one.Count)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err == nil && one.Time.After(s.Time) {
			s, ok = one, true
		}
		return err
	})
	return s, ok, err
}
