package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// backupSession is a session of the server in which a base has begun. The server ends the base when the session ends,
// however that comes about.
type backupSession struct {
	conn  *pgconn.PgConn
	major int
	start wal.LSN   // the redo point of the checkpoint that begins the base
	since time.Time // of the server's clock, just before

	mu    sync.Mutex // conn takes one question at a time
	ended bool
}

// backupStop is what the server said when the base had ended.
type backupStop struct {
	lsn         wal.LSN
	label       string
	tablespaces string
	time        time.Time // of the server's clock, just after
}

// beginBackup begins a base on conn, which nobody else uses until it has ended.
func beginBackup(ctx context.Context, conn *pgconn.PgConn, major int, label string) (*backupSession, error) {
	s := &backupSession{conn: conn, major: major}
	settings := "SET statement_timeout = 0; SET lock_timeout = 0; SET client_encoding = 'UTF8'"
	if major >= 14 {
		settings += "; SET idle_session_timeout = 0"
	}
	if _, err := conn.Exec(ctx, settings).ReadAll(); err != nil {
		return nil, fmt.Errorf("begin backup: %w", err)
	}
	// The checkpoint is asked for at once: one that is spread would let the caller wait for minutes.
	call := "pg_backup_start($1, true)"
	if major < 15 {
		call = "pg_start_backup($1, true, false)"
	}
	row, err := queryRow(ctx, conn, "SELECT extract(epoch FROM clock_timestamp()), "+call, label)
	if err != nil {
		return nil, fmt.Errorf("begin backup: %w", err)
	}
	if s.since, err = parseEpoch(row[0]); err != nil {
		return nil, fmt.Errorf("begin backup: %w", err)
	}
	if s.start, err = wal.ParseLSN(row[1]); err != nil {
		return nil, fmt.Errorf("begin backup: %w", err)
	}
	return s, nil
}

// end ends the base. The log is followed, so the server need not wait for its own archive.
func (s *backupSession) end(ctx context.Context) (stop backupStop, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call := "pg_backup_stop(false)"
	if s.major < 15 {
		call = "pg_stop_backup(false, false)"
	}
	s.ended = true
	row, err := queryRow(ctx, s.conn, "SELECT lsn, labelfile, spcmapfile, extract(epoch FROM clock_timestamp()) FROM "+call+" AS s")
	if err != nil {
		return stop, fmt.Errorf("end backup: %w", err)
	}
	if stop.lsn, err = wal.ParseLSN(row[0]); err != nil {
		return stop, fmt.Errorf("end backup: %w", err)
	}
	if stop.time, err = parseEpoch(row[3]); err != nil {
		return stop, fmt.Errorf("end backup: %w", err)
	}
	stop.label, stop.tablespaces = row[1], row[2]
	return stop, nil
}

// sessionPing is how often a session is asked whether it still lives while files are read: hours may pass, and a
// copy that no session covers is worth nothing.
const sessionPing = 20 * time.Second

// watch cancels ctx with the reason when the session is lost. stop ends the watch.
func (s *backupSession) watch(ctx context.Context) (watched context.Context, stop func()) {
	return watch(ctx, sessionPing, func(ctx context.Context) error {
		if err := s.ping(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("the session that holds the backup was lost: %w", err)
		}
		return nil
	})
}

// watch looks each so often, and cancels ctx with what look gives. stop ends the watch.
func watch(ctx context.Context, every time.Duration, look func(context.Context) error) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-watched.Done():
				return
			case <-tick.C:
			}
			if err := look(watched); err != nil {
				cancel(err)
			}
		}
	})
	return watched, func() { cancel(nil); done.Wait() }
}

func (s *backupSession) ping(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	// The context does not end the question: that would end the session with it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionPing)
	defer cancel()
	return s.conn.Ping(ctx)
}

// rangesOf is the log that the base needs, by timelines. way is the history of the timeline on which it ended.
func rangesOf(l datadir.Label, end wal.LSN, way wal.History) []datadir.WALRange {
	var list []datadir.WALRange
	timeline, at := l.Timeline, l.Start
	for timeline != way.Timeline {
		left, next, ok := way.Left(timeline)
		if !ok {
			break
		}
		list = append(list, datadir.WALRange{Timeline: timeline, Start: at, End: left})
		timeline, at = next, left
	}
	return append(list, datadir.WALRange{Timeline: timeline, Start: at, End: end})
}

// errRows is why an answer cannot be used.
var errRows = errors.New("the server did not answer with one row")

// queryRow asks for one row and gives its values as text, null as "".
func queryRow(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([]string, error) {
	rows, err := queryRows(ctx, conn, sql, args...)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, errRows
	}
	return rows[0], nil
}

// queryRows asks for rows of text.
func queryRows(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([][]string, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	r := conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if r.Err != nil {
		return nil, r.Err
	}
	rows := make([][]string, len(r.Rows))
	for i, row := range r.Rows {
		for _, v := range row {
			rows[i] = append(rows[i], string(v))
		}
	}
	return rows, nil
}

// parseEpoch reads seconds since 1970 with a fraction, exactly.
func parseEpoch(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("parse time %q: %w", s, err)
	}
	fraction = (fraction + "000000")[:6]
	micro, err := strconv.ParseInt(fraction, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("parse time %q: %w", s, err)
	}
	return time.Unix(sec, micro*1000).UTC(), nil
}
