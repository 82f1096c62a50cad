package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// writer is one client of a ledger.
type writer struct {
	ledger  *Ledger
	id      int
	dial    func(context.Context) (*pgx.Conn, error)
	entries []Entry // number n at n-1; the last one may be without an answer; guarded by the ledger's lock
}

// Commit has the first writer make one commit.
func (l *Ledger) Commit(t testing.TB) Entry {
	t.Helper()
	w := l.writers[0]
	conn, err := w.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeSoon(conn)
	if err = w.settle(t.Context(), conn); err == nil {
		err = w.commit(t.Context(), conn)
	}
	if err != nil {
		t.Fatalf("write to the ledger: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return w.entries[len(w.entries)-1]
}

// Run lets all writers write until stop is called, with a pause after each commit. They connect again whenever the server
// does not answer, and then find out what became of their last commit.
func (l *Ledger) Run(pause time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, w := range l.writers {
		running.Go(func() { w.run(ctx, pause) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// Move has the writers write to another server from their next connection on.
func (l *Ledger) Move(c *Cluster) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.writers {
		w.dial = c.Dial
	}
}

// Settle finds out from the server what became of the commits that were not answered.
func (l *Ledger) Settle(t testing.TB) {
	t.Helper()
	for _, w := range l.writers {
		conn, err := w.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.settle(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		closeSoon(conn)
	}
}

func (w *writer) run(ctx context.Context, pause time.Duration) {
	for ctx.Err() == nil {
		if err := w.session(ctx, pause); err != nil {
			sleep(ctx, 20*time.Millisecond) // the server is down, or was killed: that is what it is here for
		}
	}
}

func (w *writer) session(ctx context.Context, pause time.Duration) error {
	w.ledger.mu.Lock()
	dial := w.dial
	w.ledger.mu.Unlock()
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	defer closeSoon(conn)
	if err := w.settle(ctx, conn); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := w.commit(ctx, conn); err != nil {
			return err
		}
		sleep(ctx, pause)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// settle asks the server about a last commit that was not answered: it is there, or it never was. One that was answered
// before the server could be asked for its position and stamp is completed.
func (w *writer) settle(ctx context.Context, conn *pgx.Conn) error {
	e, ok := w.open()
	if !ok {
		return nil
	}
	if err := ended(ctx, conn, e.XID); err != nil {
		return err
	}
	var there int64
	if err := conn.QueryRow(ctx, "select count(*) from ledger where writer = $1 and n = $2", w.id, e.N).Scan(&there); err != nil {
		return err
	}
	if there == 0 {
		if !e.Acked { // else it is lost, which is for Check to say
			w.forget()
		}
		return nil
	}
	return w.answered(ctx, conn.PgConn(), e)
}

// ended waits until no process of the server works on a transaction: one whose client is gone may still be committing.
func ended(ctx context.Context, conn *pgx.Conn, xid uint32) error {
	for {
		var busy bool
		err := conn.QueryRow(ctx, "select exists (select from pg_stat_activity where backend_xid = $1::text::xid)", strconv.FormatUint(uint64(xid), 10)).Scan(&busy)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !busy {
			return err
		}
		sleep(ctx, 5*time.Millisecond)
	}
}

// open is the last commit if it was not answered, or is not known whole.
func (w *writer) open() (Entry, bool) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if n := len(w.entries); n > 0 && w.entries[n-1].After == 0 {
		return w.entries[n-1], true
	}
	return Entry{}, false
}

func (w *writer) forget() {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	w.entries = w.entries[:len(w.entries)-1]
}

// commit makes the next one. Now and then the same is first done and rolled back.
func (w *writer) commit(ctx context.Context, conn *pgx.Conn) error {
	w.ledger.mu.Lock()
	e := Entry{Writer: w.id, N: int64(len(w.entries)) + 1}
	w.ledger.mu.Unlock()
	c := conn.PgConn()
	if e.N%11 == 0 {
		if _, err := w.change(ctx, c, e.N); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, "rollback").ReadAll(); err != nil {
			return err
		}
	}
	result, err := w.change(ctx, c, e.N)
	if err != nil {
		return err
	}
	if e.XID, err = parseXID(result[0]); err != nil {
		return err
	}
	if e.Before, err = wal.ParseLSN(result[1]); err != nil {
		return err
	}
	w.put(e)
	done, err := c.Exec(ctx, "commit").ReadAll()
	if err != nil {
		return err
	}
	if tag := done[0].CommandTag.String(); tag != "COMMIT" {
		return errors.New("commit was answered with " + tag)
	}
	return w.answered(ctx, c, e)
}

// change begins a transaction and makes the changes of number n in it.
func (w *writer) change(ctx context.Context, c *pgconn.PgConn, n int64) ([]string, error) {
	return row(ctx, c, fmt.Sprintf(`begin;
		insert into ledger values (%[1]d, %[2]d, txid_current(), '%[3]s');
		update tally set n = %[2]d, sum = sum + %[4]d where writer = %[1]d and slot = %[5]d;
		select txid_current(), pg_current_wal_insert_lsn()`, w.id, n, w.ledger.body(w.id, n), amount(n), n%slots))
}

// put keeps what is known of number n, whose answer is not known yet.
func (w *writer) put(e Entry) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	w.entries = append(w.entries[:e.N-1], e)
}

// answered completes an entry that is committed.
func (w *writer) answered(ctx context.Context, c *pgconn.PgConn, e Entry) error {
	if !e.Acked {
		e.Acked, e.Answered = true, time.Now()
	}
	w.put(e)
	result, err := row(ctx, c, fmt.Sprintf("select pg_current_wal_flush_lsn(), (extract(epoch from pg_xact_commit_timestamp('%d'::xid)) * 1000000)::bigint", e.XID))
	if err != nil {
		return err
	}
	if e.After, err = wal.ParseLSN(result[0]); err != nil {
		return err
	}
	if micro, err := strconv.ParseInt(result[1], 10, 64); err == nil { // empty where the server keeps no stamps
		e.Stamp = time.UnixMicro(micro).UTC()
	}
	if w.ledger.Points {
		if result, err = row(ctx, c, fmt.Sprintf("select pg_create_restore_point('%s')", e.point())); err != nil {
			return err
		}
		if e.Point, err = wal.ParseLSN(result[0]); err != nil {
			return err
		}
	}
	w.put(e)
	return nil
}

// row runs statements and gives the one row of the last.
func row(ctx context.Context, c *pgconn.PgConn, statements string) (fields []string, err error) {
	results, err := c.Exec(ctx, statements).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
	}
	last := results[len(results)-1]
	if len(last.Rows) != 1 {
		return nil, fmt.Errorf("%d rows, want one", len(last.Rows))
	}
	for _, f := range last.Rows[0] {
		fields = append(fields, string(f))
	}
	return fields, nil
}

// parseXID takes the epoch off a number that txid_current gave.
func parseXID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	return uint32(n), err
}
