package member

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of the server's errors.
const (
	cannotConnectNow = "57P03"
	alreadyThere     = "42710"
	undefinedFile    = "58P01"
	undefinedObject  = "42704"
)

// rows is what a statement returned, all as text; null is "".
type rows [][]string

// query runs statements on a session.
func query(ctx context.Context, conn *pgconn.PgConn, sql string) (rows, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var out rows
	for _, r := range results {
		out = append(out, cells(r)...)
	}
	return out, nil
}

func cells(r *pgconn.Result) (out rows) {
	for _, row := range r.Rows {
		var texts []string
		for _, cell := range row {
			texts = append(texts, string(cell))
		}
		out = append(out, texts)
	}
	return out
}

// keptQuery runs a statement on the session that is kept for looking, and makes that where it is missing or has ended.
func (s *Server) keptQuery(ctx context.Context, sql string) (rows, error) {
	return s.onKept(ctx, func(conn *pgconn.PgConn) (rows, error) { return query(ctx, conn, sql) })
}

// keptWhat asks for all of a Sight there. The question stays prepared: it is put many times a second while all wait for something else.
func (s *Server) keptWhat(ctx context.Context) (rows, error) {
	return s.onKept(ctx, func(conn *pgconn.PgConn) (rows, error) {
		r := conn.ExecPrepared(ctx, "what", nil, nil, nil).Read()
		return cells(r), r.Err
	})
}

func (s *Server) onKept(ctx context.Context, ask func(*pgconn.PgConn) (rows, error)) (rows, error) {
	select {
	case s.look <- struct{}{}:
		defer func() { <-s.look }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		old := s.kept != nil
		if !old {
			conn, err := pgconn.ConnectConfig(ctx, s.conf)
			if err != nil {
				return nil, plain(err)
			}
			s.kept = conn
			if _, err := conn.Prepare(ctx, "what", what, nil); err != nil {
				s.drop()
				return nil, plain(err)
			}
		}
		out, err := ask(s.kept)
		if err == nil {
			return out, nil
		}
		s.drop()
		if !old || ctx.Err() != nil {
			return nil, plain(err)
		}
	}
}

// drop ends the kept session without ceremony: its server may hang. Called with the slot.
func (s *Server) drop() {
	if s.kept == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_ = s.kept.Close(ctx)
	s.kept = nil
}

// with runs do on a session of its own.
func (s *Server) with(ctx context.Context, do func(*pgconn.PgConn) error) error {
	conn, err := pgconn.ConnectConfig(ctx, s.conf)
	if err != nil {
		return fmt.Errorf("connect to the server of %s: %w", s.c.Name, plain(err))
	}
	defer s.leave(conn)
	return do(conn)
}

// leave ends a session, and does not wait until its process is gone: what counts was answered.
func (s *Server) leave(conn *pgconn.PgConn) {
	s.busy.Add(1)
	go func() {
		defer s.busy.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = conn.Close(ctx)
	}()
}

// ask is the one row of a query on a session of its own: a new process of the server, that knows what the server was told last.
func (s *Server) ask(ctx context.Context, sql string) (row []string, err error) {
	err = s.with(ctx, func(conn *pgconn.PgConn) error {
		out, err := query(ctx, conn, sql)
		if err == nil && len(out) != 1 {
			err = fmt.Errorf("%d rows came, want one", len(out))
		}
		if err == nil {
			row = out[0]
		}
		return err
	})
	return row, err
}

// plain is the server's own word where there is one: an error of a connection names each address that was tried.
func plain(err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said
	}
	return err
}

func code(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said.Code
	}
	return ""
}

// pulse is whether the server lets anybody in.
type pulse struct {
	since time.Time // of the try that waits; zero: none does
	next  time.Time
}

const (
	pulseEach = 500 * time.Millisecond
	pulseLate = time.Second
)

// opens reports, at once, whether new sessions are let in: false when one has been waiting for too long. A server that refuses, because it is
// full for example, is one that answers.
func (s *Server) opens() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.fresh.since.IsZero() && now.After(s.fresh.next) && s.ctx.Err() == nil {
		s.fresh.since = now
		s.busy.Add(1)
		go s.knock()
	}
	return s.fresh.since.IsZero() || now.Sub(s.fresh.since) < pulseLate
}

func (s *Server) knock() {
	defer s.busy.Done()
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	_ = s.with(ctx, func(conn *pgconn.PgConn) error { // any answer is one
		_, err := query(ctx, conn, "select 1")
		return err
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh = pulse{next: time.Now().Add(pulseEach)}
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
