// Package shop is the work that the SQLite benchmarks put on a database: a small shop whose orders come in one
// commit at a time. It knows the tables, fills a database to a wanted size, places orders, and keeps two records from
// which lag is measured from outside: the beat, a counter inside the database that rises by one with every commit,
// and the ledger, a file beside it that says when each commit began and was acknowledged.
package shop

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"

	_ "modernc.org/sqlite" // the driver
)

const schema = `
CREATE TABLE beat (id INTEGER PRIMARY KEY, mark BLOB NOT NULL);
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, city TEXT NOT NULL, joined INTEGER NOT NULL);
CREATE TABLE product (id INTEGER PRIMARY KEY, sku TEXT NOT NULL, title TEXT NOT NULL, cents INTEGER NOT NULL, stock INTEGER NOT NULL);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, placed INTEGER NOT NULL, status TEXT NOT NULL, cents INTEGER NOT NULL, document TEXT NOT NULL);
CREATE TABLE line (id INTEGER PRIMARY KEY, purchase_id INTEGER NOT NULL, product_id INTEGER NOT NULL, quantity INTEGER NOT NULL, cents INTEGER NOT NULL);
CREATE INDEX purchase_customer ON purchase (customer_id);
CREATE INDEX line_purchase ON line (purchase_id);
`

const (
	customers = 5000
	products  = 2000
)

// open returns a pool of one connection to the database at path, with the pragmas given, each as "name(value)".
func open(path string, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}}
	for _, p := range append([]string{"busy_timeout(30000)"}, pragmas...) {
		q.Add("_pragma", p)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// Beat reads the counter of the database at path: how many commits it holds.
func Beat(ctx context.Context, path string) (uint64, error) {
	db, err := open(path)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	var mark []byte
	if err := db.QueryRowContext(ctx, "SELECT mark FROM beat WHERE id = 1").Scan(&mark); err != nil {
		return 0, fmt.Errorf("read the beat of %s: %w", path, err)
	}
	n, ok := FindBeat(mark)
	if !ok {
		return 0, fmt.Errorf("read the beat of %s: not a beat: %x", path, mark)
	}
	return n, nil
}
