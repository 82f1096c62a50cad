//go:build unix

package failover_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"testing"
	"time"

	"github.com/backstaydb/backstay/failover"
)

// shop is where the examples' database is: your servers, or the proxy.
var shop = os.Getenv("SHOP_URL")

// Money moves from one account to another exactly once, whichever server dies meanwhile.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	db, err := failover.Open(shop, failover.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	err = failover.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "update account set amount = amount - 10 where owner = 'ann'"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "update account set amount = amount + 10 where owner = 'bob'")
		return err
	})
	var unknown *failover.UnknownOutcomeError
	switch {
	case errors.As(err, &unknown):
		log.Fatalf("look before you pay again: %v", err)
	case err != nil:
		log.Fatalf("it did not happen: %v", err)
	}

	var amount int
	if err := db.QueryRowContext(ctx, "select amount from account where owner = 'bob'").Scan(&amount); err != nil {
		log.Fatal(err)
	}
	fmt.Println("bob has", amount)
	// prints: bob has 110
}

// The example runs, and says what it promises.
func TestExample(t *testing.T) {
	s := newServer(t, "")
	s.exec("create table account (owner text, amount int); insert into account values ('ann', 100), ('bob', 100)")
	shop = s.url()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	Example()
	os.Stdout = stdout
	_ = w.Close() // ends what is read
	said, err := io.ReadAll(r)
	if err != nil || string(said) != "bob has 110\n" {
		t.Errorf("it said %q, %v", said, err)
	}
}
