package shop

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

// Till places orders in a database, one commit each, as an application of its own would: through one connection, with
// SQLite's own automatic checkpoints and synchronous=normal.
type Till struct {
	db   *sql.DB
	conn *sql.Conn
	stmt [4]*sql.Stmt
	rand *rand.Rand
	beat uint64
}

// OpenTill opens the database at path, which Create made. Tills with the same seed on equal databases place the same
// orders.
func OpenTill(ctx context.Context, path string, seed uint64) (*Till, error) {
	beat, err := Beat(ctx, path)
	if err != nil {
		return nil, err
	}
	db, err := open(path, "journal_mode(wal)", "synchronous(normal)", "cache_size(-16384)")
	if err != nil {
		return nil, err
	}
	t := &Till{db: db, rand: rand.New(rand.NewPCG(seed, beat)), beat: beat}
	if err := t.prepare(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("prepare %s: %w", path, err)
	}
	return t, nil
}

func (t *Till) prepare(ctx context.Context) (err error) {
	if t.conn, err = t.db.Conn(ctx); err != nil {
		return err
	}
	for i, q := range []string{
		"INSERT INTO purchase (customer_id, placed, status, cents, document) VALUES (?, ?, 'new', ?, ?)",
		"INSERT INTO line (purchase_id, product_id, quantity, cents) VALUES (?, ?, ?, ?), (?, ?, ?, ?)",
		"UPDATE product SET stock = stock - 1 WHERE id = ?",
		"UPDATE beat SET mark = ? WHERE id = 1",
	} {
		if t.stmt[i], err = t.conn.PrepareContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// Sell places one order in one commit and returns the beat it carries, when it began and when it was acknowledged.
func (t *Till) Sell(ctx context.Context) (beat uint64, begun, done time.Time, err error) {
	doc := document(t.rand, int64(t.beat)+1)
	begun = time.Now()
	if _, err = t.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return 0, begun, begun, fmt.Errorf("begin order %d: %w", t.beat+1, err)
	}
	if err = t.write(ctx, doc, begun); err == nil {
		_, err = t.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		t.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // the first error is the one that counts
		return 0, begun, begun, fmt.Errorf("place order %d: %w", t.beat+1, err)
	}
	done = time.Now()
	t.beat++
	return t.beat, begun, done, nil
}

func (t *Till) write(ctx context.Context, doc string, now time.Time) error {
	r := t.rand
	res, err := t.stmt[0].ExecContext(ctx, 1+r.IntN(customers), now.Unix(), 100+r.IntN(50000), doc)
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	product := 1 + r.IntN(products)
	if _, err := t.stmt[1].ExecContext(ctx, id, product, 1+r.IntN(4), 100+r.IntN(20000), id, 1+r.IntN(products), 1, 100+r.IntN(20000)); err != nil {
		return err
	}
	if _, err := t.stmt[2].ExecContext(ctx, product); err != nil {
		return err
	}
	_, err = t.stmt[3].ExecContext(ctx, mark(t.beat+1))
	return err
}

// Close ends the connection. SQLite checkpoints the WAL then, if it is the last one.
func (t *Till) Close() error {
	if err := t.conn.Close(); err != nil {
		return err
	}
	return t.db.Close()
}
