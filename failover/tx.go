package failover

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// TxOptions of RunTx; nil is the zero value. What is zero has the value in brackets.
type TxOptions struct {
	sql.TxOptions

	Wait     time.Duration // how long to try again, and to ask for an outcome [30s]
	Commit   time.Duration // how long COMMIT may take before it is asked for; it waits for standbys too [10s]
	Attempts int           // how often to run the function at most [20]

	// Classify judges errors [Classify]; for MySQL it is the one of package failover/mysql.
	Classify func(error) Class
}

func (o *TxOptions) filled() TxOptions {
	var f TxOptions
	if o != nil {
		f = *o
	}
	if f.Wait <= 0 {
		f.Wait = 30 * time.Second
	}
	if f.Commit <= 0 {
		f.Commit = 10 * time.Second
	}
	if f.Attempts <= 0 {
		f.Attempts = 20
	}
	if f.Classify == nil {
		f.Classify = Classify
	}
	return f
}

// RunTx runs fn in a transaction and commits it if fn returns nil. It does all of it again where that is safe, so fn must
// be able to run more than once, and must give back the errors of its statements, wrapped or not.
//
// After nil the transaction happened exactly once, and as durably as COMMIT makes it. After an *UnknownOutcomeError it
// happened once or not at all; after an *UnreplicatedError it happened but may get lost; after any other error it did not
// happen: that is the one of fn or of the server, or an *ExhaustedError.
//
// db is a pool of a Connector, or of pgx: then the same holds, but notices of COMMITs that waited no longer for standbys
// are not seen. With any other driver an outcome that was lost stays unknown.
//
// ctx ends the waiting and the statements of fn that use it, but no COMMIT that was sent.
func RunTx(ctx context.Context, db *sql.DB, o *TxOptions, fn func(*sql.Tx) error) error {
	r := run{TxOptions: o.filled(), db: db, began: time.Now(), fn: fn}
	switch d := db.Driver().(type) {
	case pool:
		r.postgres, r.marker = true, d.Marker
	case *stdlib.Driver:
		r.postgres = true
	}
	p := pause{next: 5 * time.Millisecond, most: 500 * time.Millisecond}
	for attempt := 1; ; attempt++ {
		err := r.once(ctx)
		if err == nil {
			sweep(context.WithoutCancel(ctx), db, r.marker)
			return nil
		}
		if again, ok := errors.AsType[*againError](err); !ok {
			return err
		} else if ctx.Err() != nil || attempt == r.Attempts || time.Since(r.began) > r.Wait {
			return &ExhaustedError{Attempts: attempt, Took: time.Since(r.began), Err: again.err}
		} else if p.wait(ctx) != nil {
			return &ExhaustedError{Attempts: attempt, Took: time.Since(r.began), Err: again.err}
		}
	}
}

// run is one call of RunTx.
type run struct {
	TxOptions
	db       *sql.DB
	fn       func(*sql.Tx) error
	began    time.Time
	postgres bool
	marker   string
}

// againError says that the transaction did not happen and may run again.
type againError struct{ err error }

func (e *againError) Error() string { return e.err.Error() }
func (e *againError) Unwrap() error { return e.err }

// once makes one attempt.
func (r *run) once(ctx context.Context) error {
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return r.judge(err)
	}
	defer conn.Close() // it goes back to the pool
	// COMMIT must not be cut off by ctx, so the transaction has a context of its own, which follows ctx until then.
	own, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	follow := context.AfterFunc(ctx, end)
	defer follow()
	tx, err := conn.BeginTx(own, &r.TxOptions.TxOptions)
	if err != nil {
		return r.failed(conn, err)
	}
	defer func() { _ = tx.Rollback() }() // of a panic; does nothing once it is over
	err = r.fn(tx)
	var m mark
	if err == nil {
		m, err = r.testify(own, tx)
	}
	if err != nil {
		_ = tx.Rollback() // the first error counts; and the connection can't be dropped under a transaction
		return r.failed(conn, err)
	}
	if !follow() {
		return context.Cause(ctx)
	}
	return r.commit(ctx, conn, tx, m, end)
}

// commit sends COMMIT and sees to it that its outcome is known.
func (r *run) commit(ctx context.Context, conn *sql.Conn, tx *sql.Tx, m mark, end context.CancelFunc) error {
	inner := innerOf(conn)
	before := inner.sent()
	limit := time.AfterFunc(r.Commit, end)
	err := tx.Commit()
	limit.Stop()
	switch {
	case err == nil && !inner.unreplicated():
		return nil
	case err == nil:
		return r.settle(ctx, m, errors.New("COMMIT waited no longer for the standbys"))
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return err
	// pgx says of a COMMIT that it sent, and whose connection was reset then, that it is safe to run again
	// (pgconn.SafeToRetry of "conn closed", v5.12.0). So bytes are counted instead.
	case before >= 0 && inner.sent() == before:
		return r.failed(conn, err)
	}
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		switch r.Classify(err) {
		case Permanent:
			return err
		case Conflict, ReadOnly:
			return r.failed(conn, err)
		}
	} else if c := r.Classify(err); !r.postgres && (c == Conflict || c == ReadOnly) {
		return r.failed(conn, err)
	}
	r.evict(conn)
	_ = conn.Close() // a pool of one connection must be able to open another one
	return r.settle(ctx, m, err)
}

// settle learns what became of a COMMIT: nil if it happened.
func (r *run) settle(ctx context.Context, m mark, lost error) error {
	if r.ReadOnly || r.postgres && m.transaction == 0 {
		return &againError{fmt.Errorf("commit of a transaction that wrote nothing: %w", lost)}
	}
	if !r.postgres {
		return &UnknownOutcomeError{Reason: "the driver is not one whose server can be asked", Err: lost}
	}
	return r.inquire(ctx, m, lost)
}

// judge says whether an error of a transaction that was not committed is one to try again after.
func (r *run) judge(err error) error {
	if inside(err) {
		return err
	}
	switch r.Classify(err) {
	case Permanent:
		return err
	case ReadOnly:
		if r.ReadOnly {
			return err // it wanted to write in a transaction that must not
		}
	}
	return &againError{err}
}

// failed is judge for who has a connection, which does not go back to the pool if the error speaks against it.
func (r *run) failed(conn *sql.Conn, err error) error {
	switch r.Classify(err) {
	case Lost, ReadOnly, Unknown, Unreachable:
		r.evict(conn)
	}
	return r.judge(err)
}

// inside says whether err tells of a RunTx inside of fn that may have happened: then nothing may run again.
func inside(err error) bool {
	_, unknown := errors.AsType[*UnknownOutcomeError](err)
	_, unreplicated := errors.AsType[*UnreplicatedError](err)
	return unknown || unreplicated
}

// evict has the pool drop the connection.
func (r *run) evict(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // it may be dropped already
}

// inner is what can be known of a connection's wire, if it is one of ours.
type inner struct{ *Conn }

func innerOf(conn *sql.Conn) (i inner) {
	_ = conn.Raw(func(c any) error { // without a connection there is nothing to know
		i.Conn, _ = c.(*Conn)
		if i.Conn != nil {
			i.Conn.unreplicated.Store(false)
		}
		return nil
	})
	return i
}

// sent counts bytes; -1 if nobody counts.
func (i inner) sent() int64 {
	if i.Conn == nil {
		return -1
	}
	return i.wire.sent.Load()
}

func (i inner) unreplicated() bool { return i.Conn != nil && i.Conn.unreplicated.Load() }
