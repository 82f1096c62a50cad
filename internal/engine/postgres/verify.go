package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Verify is engine.Server's. It asks, in this order, as the later questions change pages:
//
//   - page checksums: does every page of every relation, read from the disk, have the checksum that it says
//   - position: did the server end recovery where Reached says, on a timeline of its own
//   - catalog: can the catalog of every database be read, and does every relation have its file
//   - amcheck: are heaps and B-trees sound, is every row in the indexes; without the extension, can every table be read
func (l *launched) Verify(ctx context.Context) ([]engine.Check, error) {
	v := &verification{launched: l, extension: "amcheck"}
	var checks []engine.Check
	for _, c := range []struct {
		name string
		run  func(context.Context) (string, error)
	}{{"page checksums", v.pages}, {"position", v.position}, {"catalog", v.catalog}, {"amcheck", v.structures}} {
		start := time.Now()
		detail, err := c.run(ctx)
		if ctx.Err() != nil {
			return checks, ctx.Err()
		}
		check := engine.Check{Name: c.name, OK: err == nil, Detail: detail}
		if err != nil {
			found, ok := errors.AsType[*findingError](err)
			if !ok {
				return checks, fmt.Errorf("%s: %w", c.name, err)
			}
			check.Detail = found.Error()
		}
		check.Seconds = time.Since(start).Seconds()
		checks = append(checks, check)
	}
	return checks, nil
}

// verification is one Verify under way.
type verification struct {
	*launched
	extension string // that checks structures
	databases []string
}

// findingError is damage that was found: how often, and the first few times.
type findingError struct {
	count    int
	examples []string
	checked  string // what was looked at, with numbers
}

// maxExamples is how many findings are told.
const maxExamples = 10

func (e *findingError) Error() string {
	s := fmt.Sprintf("%d × damage: %s", e.count, strings.Join(e.examples, "; "))
	if e.count > len(e.examples) {
		s += " …"
	}
	if e.checked != "" {
		s += " (" + e.checked + ")"
	}
	return s
}

func (e *findingError) add(format string, args ...any) {
	e.count++
	if len(e.examples) < maxExamples {
		e.examples = append(e.examples, fmt.Sprintf(format, args...))
	}
}

// result is nil where nothing was found.
func (e *findingError) result(format string, args ...any) (string, error) {
	detail := fmt.Sprintf(format, args...)
	if e.count == 0 {
		return detail, nil
	}
	e.checked = detail
	return "", e
}

// tell adds an answer of the server that speaks of damage, and returns any other error.
func (e *findingError) tell(where string, err error) error {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return err
	}
	switch {
	case strings.HasPrefix(said.Code, "53"), strings.HasPrefix(said.Code, "57"), strings.HasPrefix(said.Code, "08"):
		return err // resources, shutdown, connection
	}
	e.add("%s: %s", where, said.Message)
	return nil
}

// each runs f in every database that takes connections.
func (v *verification) each(ctx context.Context, found *findingError, f func(conn *pgx.Conn, database string) error) error {
	if v.databases == nil {
		conn, err := question(ctx, v.server, v.role, anyDatabase)
		if err != nil {
			return found.tell("database "+anyDatabase, err)
		}
		// Of a database that was being dropped (-2) there is nothing to expect, and nobody may enter it.
		v.databases, err = column(ctx, conn, "select datname from pg_database where datallowconn and datconnlimit <> -2 order by oid")
		if err = errors.Join(err, conn.Close(ctx)); err != nil {
			return found.tell("pg_database", err)
		}
	}
	for _, name := range v.databases {
		conn, err := question(ctx, v.server, v.role, name)
		if err == nil {
			err = f(conn, name)
			_ = conn.Close(ctx) // nothing depends on it
		}
		if err := found.tell("database "+name, err); err != nil {
			return err
		}
	}
	return nil
}

func column(ctx context.Context, conn *pgx.Conn, query string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// position asks where the server came from.
func (v *verification) position(ctx context.Context) (string, error) {
	found := &findingError{}
	conn, err := question(ctx, v.server, v.role, anyDatabase)
	if err != nil {
		return "", found.tell("position", err)
	}
	defer conn.Close(ctx)
	var recovering bool
	var timeline uint32
	err = conn.QueryRow(ctx, "select pg_is_in_recovery(), (select timeline_id from pg_control_checkpoint())").Scan(&recovering, &timeline)
	if err != nil {
		return "", err
	}
	if recovering {
		found.add("the server is still in recovery")
		return found.result("timeline %d", timeline)
	}
	from, err := forkOf(v.facts.dir, timeline)
	if err != nil {
		found.add("%v", err)
		return found.result("timeline %d", timeline)
	}
	want := v.reached.Position
	// A goal inside of a record stands for the end of the record before it.
	if from.Timeline != want.Timeline || from.At > wal.LSN(want.Seq) || wal.LSN(want.Seq)-from.At > maxRecord {
		found.add("want %s of timeline %d", wal.LSN(want.Seq), want.Timeline)
	}
	return found.result("timeline %d began at %s of timeline %d", timeline, from.At, from.Timeline)
}

// maxRecord is the longest record of the log (XLogRecordMaxSize), bytes.
const maxRecord = 1020 << 20
