package failover

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// mark is what is noted of a transaction before its COMMIT is sent.
type mark struct {
	transaction uint64 // txid_current, with its epoch; zero if it has none, since it wrote nothing
	position    uint64 // of the log, behind a record of the transaction
	token       string // of its row in the marker's table; "" without one
	backend     int
	facts
}

// testify has the transaction leave a trace of itself, if it wrote anything, and tells its number. A record in the log
// behind which the position lies is what makes the number known to whoever has the log up to there: a transaction that
// wrote to nothing but unlogged tables has none.
func (r *run) testify(ctx context.Context, tx *sql.Tx) (m mark, err error) {
	if r.ReadOnly || !r.postgres {
		return m, nil
	}
	var system, timeline, started, replayed, position string
	var arguments []any
	query := `select coalesce(txid_current_if_assigned(), 0), pg_backend_pid(), ` +
		`case when txid_current_if_assigned() is null then '' else pg_logical_emit_message(true, 'backstay', '')::text end, ` + factsColumns
	if r.marker != "" {
		m.token = newToken()
		arguments = append(arguments, m.token)
		query = `with noted as (insert into ` + quoted(r.marker) + ` (token) select $1 where txid_current_if_assigned() is not null) ` + query
	}
	if err := tx.QueryRowContext(ctx, query, arguments...).Scan(&m.transaction, &m.backend, &position, &system, &timeline, &started, &replayed); err != nil {
		return m, err
	}
	if m.position, err = parsePosition(position); err != nil {
		return m, err
	}
	return m, m.read(system, timeline, started, replayed)
}

// parsePosition takes a pg_lsn; "" is zero.
func parsePosition(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	high, low, ok := strings.Cut(s, "/")
	h, err := strconv.ParseUint(high, 16, 32)
	l, lerr := strconv.ParseUint(low, 16, 32)
	if !ok || err != nil || lerr != nil {
		return 0, fmt.Errorf("read the position %q: not one of the log", s)
	}
	return h<<32 | l, nil
}

// verdict is what one answer says of a transaction.
type verdict int

const (
	pending   verdict = iota // ask again
	committed                // it is in the history of the server that answered
	absent                   // it is not, and will not be
	doubtful                 // it can't be known
)

// errAfter are for reasons that have no error of their own.
var (
	errStillRuns  = errors.New("it still runs")
	errPastAnswer = errors.New("the server that answered is one of the past")
)

// inquire asks until it knows: nil if the transaction is committed and as durable as COMMIT makes it, an *againError if
// it may run again.
func (r *run) inquire(ctx context.Context, m mark, lost error) error {
	unknown := &UnknownOutcomeError{Transaction: m.transaction, Token: m.token, Err: lost}
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	p := pause{next: 20 * time.Millisecond, most: 500 * time.Millisecond}
	seen := false
	for {
		v, reason := r.question(ctx, m)
		switch v {
		case absent:
			return &againError{fmt.Errorf("COMMIT was lost: %w", lost)}
		case doubtful:
			unknown.Reason = reason.Error()
			return unknown
		case committed:
			if reason == nil {
				return nil
			}
			seen = true
		case pending:
			seen = false
		}
		if p.wait(ctx) != nil {
			if seen {
				return &UnreplicatedError{Transaction: m.transaction, Err: reason}
			}
			unknown.Reason = "nobody could tell in time: " + reason.Error()
			return unknown
		}
	}
}

// question asks the primary of now. With committed an error says that it is not confirmed to be durable.
func (r *run) question(ctx context.Context, m mark) (verdict, error) {
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return pending, err
	}
	defer conn.Close() // it goes back to the pool
	var v verdict
	if m.token != "" {
		v, err = r.askMarker(ctx, conn, m)
	} else {
		v, err = r.askStatus(ctx, conn, m)
	}
	if v == pending && err != nil && Classify(err) != Permanent {
		r.evict(conn)
	}
	if v != committed || err != nil {
		return v, err
	}
	return committed, r.confirm(ctx, conn)
}

// confirm commits something small: when its COMMIT has come back from the standbys, all that is before it in the log has
// been there too.
func (r *run) confirm(ctx context.Context, conn *sql.Conn) error {
	i := innerOf(conn)
	_, err := conn.ExecContext(ctx, `select pg_logical_emit_message(true, 'backstay', '')`)
	if err == nil && i.unreplicated() {
		err = errors.New("COMMIT waited no longer for the standbys")
	}
	if err != nil {
		r.evict(conn)
	}
	return err
}

// askMarker has the row of the transaction's token made by us, if it is not there. The server lets only one of the two be,
// and has the second one wait until the first one's fate is known: so if ours is, the transaction can't be any more.
func (r *run) askMarker(ctx context.Context, conn *sql.Conn, m mark) (verdict, error) {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return pending, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing once it is committed
	var system, timeline string
	if err := tx.QueryRowContext(ctx, `select set_config('lock_timeout', '500ms', true), `+factsColumns).Scan(new(string), &system, &timeline, new(string), new(string)); err != nil {
		return pending, err
	}
	now := facts{}
	if err := now.read(system, timeline, "", ""); err != nil {
		return pending, err
	}
	if v, err := m.place(now); err != nil {
		return v, err
	}
	table := quoted(r.marker)
	result, err := tx.ExecContext(ctx, `insert into `+table+` (token, abandoned) values ($1, true) on conflict (token) do nothing`, m.token)
	if err != nil {
		if state(err) == "55P03" { // lock_timeout
			_ = tx.Rollback() // what follows must not be part of it
			r.dismiss(ctx, conn, m)
			return pending, errStillRuns
		}
		return pending, err
	}
	if n, err := result.RowsAffected(); err != nil {
		return pending, err
	} else if n == 1 {
		if err := tx.Commit(); err != nil {
			return pending, err // ours may be there; the next time tells
		}
		return absent, nil
	}
	var abandoned bool
	if err := tx.QueryRowContext(ctx, `select abandoned from `+table+` where token = $1`, m.token).Scan(&abandoned); err != nil {
		return pending, err
	}
	if abandoned {
		return absent, nil
	}
	return committed, nil
}

// askStatus asks what became of the transaction's number.
func (r *run) askStatus(ctx context.Context, conn *sql.Conn, m mark) (verdict, error) {
	var status, system, timeline, started, replayed string
	err := conn.QueryRowContext(ctx, `select coalesce(txid_status($1), ''), `+factsColumns, int64(m.transaction)).Scan(&status, &system, &timeline, &started, &replayed)
	now := facts{}
	switch {
	case err != nil && state(err) == "22023": // the number lies in the future
		status = "future"
		f, ferr := factsOf(ctx, conn)
		if ferr != nil {
			return pending, ferr
		}
		now = f
	case err != nil:
		return pending, err
	default:
		if err := now.read(system, timeline, started, replayed); err != nil {
			return pending, err
		}
	}
	v, err := m.judge(status, now)
	if v == pending && status == "in progress" && now.life == m.life {
		r.dismiss(ctx, conn, m)
	}
	return v, err
}

func factsOf(ctx context.Context, conn *sql.Conn) (f facts, err error) {
	var system, timeline, started, replayed string
	if err := conn.QueryRowContext(ctx, `select `+factsColumns).Scan(&system, &timeline, &started, &replayed); err != nil {
		return f, err
	}
	return f, f.read(system, timeline, started, replayed)
}

// place says whether a server may speak of the transaction at all. Without an error it may.
func (m mark) place(now facts) (verdict, error) {
	switch {
	case now.epoch.System != m.epoch.System:
		return doubtful, errors.New("the server that answers has another history, from its beginning on")
	case now.epoch.Timeline < m.epoch.Timeline:
		return pending, errPastAnswer
	}
	return pending, nil
}

// judge says what a status means of a server with these facts.
func (m mark) judge(status string, now facts) (verdict, error) {
	if v, err := m.place(now); err != nil {
		return v, err
	}
	switch status {
	case "aborted", "future":
		return absent, nil
	case "in progress":
		return pending, errStillRuns
	case "committed":
		return m.own(now)
	}
	return doubtful, fmt.Errorf("the server says %q of transaction %d", status, m.transaction)
}

// own says whether the number that is committed is that of this transaction, or was given again after a recovery.
func (m mark) own(now facts) (verdict, error) {
	if now.epoch == m.epoch && now.life == m.life {
		return committed, nil
	}
	if now.epoch == m.epoch && now.life.replayed == "" {
		return committed, nil // it was stopped and started, and needed no recovery
	}
	end, err := parsePosition(now.life.replayed)
	switch {
	case err != nil:
		return doubtful, err
	case now.life.replayed == "":
		return doubtful, errors.New("the server does not know any more where it took over")
	case end < m.position && now.epoch.Timeline <= m.epoch.Timeline+1:
		return absent, nil
	case now.epoch.Timeline > m.epoch.Timeline+1:
		return doubtful, errors.New("there was more than one promotion since")
	}
	return committed, nil
}

// dismiss ends the session that COMMIT was sent in, if it still runs that transaction: what it was sent may never have
// come, and then it would wait for hours. One that is in the middle of COMMIT ends it first.
func (r *run) dismiss(ctx context.Context, conn *sql.Conn, m mark) {
	_, _ = conn.ExecContext(ctx, `select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and backend_xid::text = $2`,
		m.backend, strconv.FormatUint(m.transaction&0xffffffff, 10)) // the next question tells whether it helped
}

// state is the SQLSTATE of an error, "" without one.
func state(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}
