package pgtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Check compares the server of conn with the ledger, row by row: it must stand at the moment, with all changes of every
// commit up to there and none of any after.
func (l *Ledger) Check(t testing.TB, conn *pgx.Conn, m Moment) {
	t.Helper()
	if err := l.Compare(t.Context(), conn, m); err != nil {
		t.Errorf("at %s: %v", m.Target, err)
	}
}

// Compare is Check without a test that fails.
func (l *Ledger) Compare(ctx context.Context, conn *pgx.Conn, m Moment) error {
	at, err := l.Stand(ctx, conn)
	if err != nil {
		return err
	}
	for i, k := range at {
		if k < m.Least[i] || k > m.Most[i] {
			return fmt.Errorf("writer %d stands at commit %d, want %d to %d", i, k, m.Least[i], m.Most[i])
		}
	}
	return nil
}

// Stand gives by writer the number of its last commit that is on the server of conn. The error names the first row that is
// missing, too much, or not what was written.
func (l *Ledger) Stand(ctx context.Context, conn *pgx.Conn) ([]int64, error) {
	at, err := l.readRows(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return at, l.checkTally(ctx, conn, at)
}

func (l *Ledger) readRows(ctx context.Context, conn *pgx.Conn) ([]int64, error) {
	xids := l.xids()
	at := make([]int64, len(l.writers))
	// Over the heap, not the index: what the index says is amcheck's question.
	rows, err := conn.Query(ctx, "select writer, n, xid & 4294967295, body from ledger order by writer, n")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var writer int
		var n, xid int64
		var body string
		if err := rows.Scan(&writer, &n, &xid, &body); err != nil {
			return nil, err
		}
		if writer < 0 || writer >= len(at) || n != at[writer]+1 {
			return nil, fmt.Errorf("row %d of writer %d follows the rows %v", n, writer, at)
		}
		at[writer] = n
		if n > int64(len(xids[writer])) {
			return nil, fmt.Errorf("row %d of writer %d was never written: it made %d", n, writer, len(xids[writer]))
		}
		if want := l.body(writer, n); body != want {
			return nil, fmt.Errorf("row %d of writer %d holds %.40q…, want %.40q…", n, writer, body, want)
		}
		if want := xids[writer][n-1]; uint32(xid) != want {
			return nil, fmt.Errorf("row %d of writer %d is of transaction %d, want %d", n, writer, xid, want)
		}
	}
	return at, rows.Err()
}

func (l *Ledger) xids() [][]uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([][]uint32, len(l.writers))
	for i, w := range l.writers {
		for _, e := range w.entries {
			all[i] = append(all[i], e.XID)
		}
	}
	return all
}

func (l *Ledger) checkTally(ctx context.Context, conn *pgx.Conn, at []int64) error {
	rows, err := conn.Query(ctx, "select writer, slot, n, sum from tally")
	if err != nil {
		return fmt.Errorf("read the tally: %w", err)
	}
	defer rows.Close()
	last, sum := make([][slots]int64, len(at)), make([][slots]int64, len(at))
	for i, k := range at {
		last[i], sum[i] = tally(k)
	}
	count := 0
	for ; rows.Next(); count++ {
		var writer, slot, n, s int64
		if err := rows.Scan(&writer, &slot, &n, &s); err != nil {
			return err
		}
		if wantN, wantS := last[writer][slot], sum[writer][slot]; n != wantN || s != wantS {
			return fmt.Errorf("tally of writer %d, row %d: %d of commit %d, want %d of %d (the ledger stands at %d)", writer, slot, s, n, wantS, wantN, at[writer])
		}
	}
	if want := slots * len(at); rows.Err() == nil && count != want {
		return fmt.Errorf("the tally has %d rows, want %d", count, want)
	}
	return rows.Err()
}
