package cli

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // the driver that the shop writes with
)

// shopOptions are those of the demo's shop: a process of its own, as an application is, that writes orders until its
// standard input ends. It knows nothing of Backstay.
type shopOptions struct{}

func (o *shopOptions) flags(*cobra.Command) {}

// order is one row of the shop.
type order struct {
	ID       int64  `json:"id"`
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Cents    int64  `json:"cents"`
}

// shopEvent is one commit of the shop, printed right after it.
type shopEvent struct {
	Commit    int64     `json:"commit"` // counts from 1
	Order     *order    `json:"order,omitempty"`
	Mistake   bool      `json:"mistake,omitempty"` // DELETE FROM orders, without a WHERE
	Began     time.Time `json:"began"`
	Committed time.Time `json:"committed"`
}

const shopSchema = `CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, item TEXT NOT NULL, cents INTEGER NOT NULL)`

func (o *shopOptions) run(ctx context.Context, c *console, args []string) error {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(args[0], "shop.db"))+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)")
	if err != nil {
		return fmt.Errorf("open the shop: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, shopSchema); err != nil {
		return fmt.Errorf("open the shop: %w", err)
	}
	return serveShop(ctx, db, json.NewEncoder(c.out), words(os.Stdin))
}

// words gives the lines of in; the channel closes when in ends.
func words(in io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			out <- lines.Text()
		}
	}()
	return out
}

// serveShop commits orders, and the mistake when it is told to.
func serveShop(ctx context.Context, db *sql.DB, out *json.Encoder, orders <-chan string) error {
	for commit, id := int64(1), int64(1); ; commit++ {
		event := shopEvent{Commit: commit}
		select {
		case <-ctx.Done():
			return nil
		case word, open := <-orders:
			if !open {
				return nil
			}
			event.Mistake = word == "mistake"
		case <-time.After(time.Duration(4+rand.IntN(24)) * time.Millisecond):
		}
		event.Began = time.Now()
		var err error
		if event.Mistake {
			_, err = db.ExecContext(ctx, "DELETE FROM orders")
		} else {
			event.Order = newOrder(id)
			id++
			_, err = db.ExecContext(ctx, "INSERT INTO orders VALUES (?, ?, ?, ?)", event.Order.ID, event.Order.Customer, event.Order.Item, event.Order.Cents)
		}
		if err != nil {
			return fmt.Errorf("write to the shop: %w", err)
		}
		event.Committed = time.Now()
		if err := out.Encode(event); err != nil {
			return fmt.Errorf("tell of a commit: %w", err)
		}
	}
}

func newOrder(id int64) *order {
	customers := []string{"Ada", "Bo", "Chen", "Dina", "Emre", "Fatou", "Gita", "Hugo"}
	items := []string{"tea", "bread", "lamp", "chair", "pen", "map", "soap", "rope"}
	return &order{ID: id, Customer: customers[rand.IntN(len(customers))], Item: items[rand.IntN(len(items))], Cents: 100 + rand.Int64N(9900)}
}
