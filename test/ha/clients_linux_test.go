package ha

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/test/ha/check"
	"github.com/backstaydb/backstay/test/ha/lab"
)

const (
	registers = 12
	accounts  = 6
	total     = accounts * 100
)

// tables are what clients write to in a round. Rounds have rows and registers of their own: what is unknown in one may
// still happen in the next.
func tables(round int) string {
	return fmt.Sprintf(`
create table if not exists appends (round int, id bigint);
create table if not exists registers (k text primary key, v bigint);
create table if not exists bank (n int primary key, amount bigint);
insert into registers select 'r' || n || ' of %[1]d', 0 from generate_series(1, %[2]d) as n on conflict do nothing;
insert into bank select n, 100 from generate_series(1, %[3]d) as n on conflict do nothing;
grant select, insert, update on appends, registers, bank to app;
`, round, registers, accounts)
}

// crowd are clients of the rw listeners, some at each of their hosts.
type crowd struct {
	t       testing.TB
	round   int
	history *check.History
	next    atomic.Int64  // each row and each write has a value of its own
	think   time.Duration // between two requests of a client, on average
	stop    atomic.Bool
	all     sync.WaitGroup
}

// gather begins the clients.
func (s *site) gather() *crowd {
	c := &crowd{t: s.t, round: s.rounds, history: check.NewHistory(), think: 10 * time.Millisecond}
	n := 0
	for _, host := range listeners {
		for _, do := range []func(*client){(*client).append, (*client).append, (*client).register, (*client).register, (*client).transfer} {
			n++
			one := &client{crowd: c, id: n, host: s.lab.Host(host)}
			c.all.Go(func() { one.live(do) })
		}
	}
	return c
}

// leave ends them.
func (c *crowd) leave() {
	c.stop.Store(true)
	c.all.Wait()
}

// client does one thing over and over, in a session that it opens again when it is lost.
type client struct {
	*crowd
	id     int
	host   *lab.Host
	conn   *pgx.Conn
	warned bool // a COMMIT waited no longer for its standbys
}

func (c *client) live(do func(*client)) {
	defer c.leaveSession()
	for !c.stop.Load() {
		if c.conn == nil && !c.enter() {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		do(c)
		time.Sleep(c.think/2 + time.Duration(rand.Int64N(int64(c.think))))
	}
}

func (c *client) enter() bool {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("app", pgtest.Password), Host: c.host.IP + ":6432", Path: "/postgres", RawQuery: "sslmode=disable"}
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		c.t.Error(err)
		return false
	}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.host.Dial(ctx, network, address)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { c.warned = c.warned || n.Routine == "SyncRepWaitForLSN" }
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.conn, err = pgx.ConnectConfig(ctx, config)
	if err != nil {
		c.conn = nil
	}
	return err == nil
}

func (c *client) leaveSession() {
	if c.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.conn.Close(ctx) // the other side may be gone
		c.conn = nil
	}
}

// patience is how long a client waits for an answer; then it does not know.
const patience = 10 * time.Second

// do runs f and records what it was told.
func (c *client) do(o check.Operation, f func(context.Context) (int64, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.warned = false
	o.Client, o.Asked = c.id, c.history.Now()
	value, err := f(ctx)
	o.Answered = c.history.Now()
	if o.Kind == "read" || o.Kind == "sum" {
		o.Value = value
	}
	if err != nil {
		o.Outcome, o.Why = outcome(err), err.Error()
	} else if c.warned {
		o.Outcome, o.Why = check.Unknown, "no standby confirmed it"
	}
	c.history.Add(o)
	if err != nil && c.conn.IsClosed() {
		c.leaveSession()
	}
}

// outcome is what an error says, as the proxy's guide promises it: only these say that nothing happened.
func outcome(err error) check.Outcome {
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		return check.Unknown
	}
	switch {
	case told.Code == "57P01", told.Code == "57P03", told.Code == "25006", strings.HasPrefix(told.Code, "40") && told.Code != "40003":
		return check.Refused
	}
	return check.Unknown
}

func (c *client) append() {
	id := c.next.Add(1)
	c.do(check.Operation{Kind: "append", Value: id}, func(ctx context.Context) (int64, error) {
		_, err := c.conn.Exec(ctx, "insert into appends values ($1, $2)", c.round, id)
		return 0, err
	})
}

// transact inserts a row in a transaction of its own.
func (c *client) transact() {
	id := c.next.Add(1)
	c.do(check.Operation{Kind: "append", Value: id}, func(ctx context.Context) (int64, error) {
		return 0, pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "insert into appends values ($1, $2)", c.round, id)
			return err
		})
	})
}

func (c *client) register() {
	key := fmt.Sprintf("r%d of %d", 1+rand.IntN(registers), c.round)
	if rand.IntN(2) == 0 {
		value := c.next.Add(1)
		c.do(check.Operation{Kind: "write", Key: key, Value: value}, func(ctx context.Context) (int64, error) {
			_, err := c.conn.Exec(ctx, "update registers set v = $1 where k = $2", value, key)
			return 0, err
		})
		return
	}
	c.do(check.Operation{Kind: "read", Key: key}, func(ctx context.Context) (v int64, err error) {
		return v, c.conn.QueryRow(ctx, "select v from registers where k = $1", key).Scan(&v)
	})
}

func (c *client) transfer() {
	if rand.IntN(3) == 0 {
		c.do(check.Operation{Kind: "sum"}, func(ctx context.Context) (v int64, err error) {
			return v, c.conn.QueryRow(ctx, "select sum(amount)::bigint from bank").Scan(&v)
		})
		return
	}
	from, to := rand.IntN(accounts), rand.IntN(accounts)
	c.do(check.Operation{Kind: "transfer"}, func(ctx context.Context) (int64, error) {
		return 0, pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error {
			for _, step := range []struct{ n, amount int }{{min(from, to), 1}, {max(from, to), -1}} {
				if _, err := tx.Exec(ctx, "update bank set amount = amount + $1 where n = $2", step.amount, step.n+1); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
