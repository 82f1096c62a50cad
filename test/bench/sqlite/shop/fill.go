package shop

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
)

const (
	fillRows   = 50   // orders in one INSERT
	fillCommit = 5000 // orders in one transaction
)

// Create makes a database of at least size bytes at path, in WAL mode, with a beat of zero. The same size and seed
// give the same rows.
func Create(ctx context.Context, path string, size int64, seed uint64) error {
	db, err := open(path, "journal_mode(off)", "synchronous(off)", "cache_size(-65536)", "locking_mode(exclusive)")
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(seed, seed))
	if err := create(ctx, db, size, r); err != nil {
		db.Close()
		return fmt.Errorf("create %s: %w", path, err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", path, err)
	}
	return toWAL(ctx, path)
}

// toWAL switches the finished file to WAL mode and makes it durable.
func toWAL(ctx context.Context, path string) error {
	db, err := open(path, "journal_mode(wal)")
	if err != nil {
		return err
	}
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return fmt.Errorf("switch %s to WAL: %w", path, err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func create(ctx context.Context, db *sql.DB, size int64, r *rand.Rand) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err := fillRegisters(ctx, db, r); err != nil {
		return err
	}
	for next := int64(1); ; next += fillCommit {
		var pages, pageSize int64
		if err := db.QueryRowContext(ctx, "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size").Scan(&pages, &pageSize); err != nil {
			return err
		}
		if pages*pageSize >= size {
			return nil
		}
		if err := fillOrders(ctx, db, r, next); err != nil {
			return err
		}
	}
}

// fillRegisters writes the beat, the customers and the products.
func fillRegisters(ctx context.Context, db *sql.DB, r *rand.Rand) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO beat VALUES (1, ?)", mark(0)); err != nil {
		return err
	}
	for i := range customers {
		name := personName(r)
		mail := strings.ReplaceAll(strings.ToLower(name), " ", ".") + fmt.Sprint(i) + "@example.com"
		if _, err := tx.ExecContext(ctx, "INSERT INTO customer VALUES (?, ?, ?, ?, ?)", i+1, name, mail, pick(r, cities), 1_700_000_000+r.IntN(5e7)); err != nil {
			return err
		}
	}
	for i := range products {
		var title strings.Builder
		sentence(&title, r, 4)
		if _, err := tx.ExecContext(ctx, "INSERT INTO product VALUES (?, ?, ?, ?, ?)", i+1, sku(r), title.String(), 100+r.IntN(20000), 1_000_000); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// fillOrders writes fillCommit orders with their lines in one transaction, many rows to a statement.
func fillOrders(ctx context.Context, db *sql.DB, r *rand.Rand, first int64) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	orders, err := tx.PrepareContext(ctx, "INSERT INTO purchase VALUES "+strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?),", fillRows), ","))
	if err != nil {
		return err
	}
	lines, err := tx.PrepareContext(ctx, "INSERT INTO line (purchase_id, product_id, quantity, cents) VALUES "+strings.TrimSuffix(strings.Repeat("(?,?,?,?),", 2*fillRows), ","))
	if err != nil {
		return err
	}
	for id := first; id < first+fillCommit; id += fillRows {
		var o, l []any
		for i := range int64(fillRows) {
			o = append(o, id+i, 1+r.IntN(customers), 1_700_000_000+2*(id+i), pick(r, states), 100+r.IntN(50000), document(r, id+i))
			for range 2 {
				l = append(l, id+i, 1+r.IntN(products), 1+r.IntN(4), 100+r.IntN(20000))
			}
		}
		if _, err := orders.ExecContext(ctx, o...); err != nil {
			return err
		}
		if _, err := lines.ExecContext(ctx, l...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
