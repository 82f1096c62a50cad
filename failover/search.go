package failover

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"
)

// The times of a search.
const (
	stagger = 100 * time.Millisecond // before the next server is asked while one has not answered
	settle  = 200 * time.Millisecond // for others to show a later epoch, while none is known
)

// Connect implements driver.Connector: it gives a session at the server that can be written to, and waits for one as
// long as Config.Wait. An error is what all servers agree on, such as a wrong password, or a *NoPrimaryError.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	p := pause{next: 20 * time.Millisecond, most: 500 * time.Millisecond}
	none := &NoPrimaryError{Causes: map[string]error{}}
	for _, h := range c.hosts {
		none.order = append(none.order, h.name)
	}
	for {
		conn, causes := c.round(ctx)
		if conn != nil {
			return conn, nil
		}
		if err := final(causes); err != nil && ctx.Err() == nil {
			return nil, err
		}
		for name, err := range causes {
			// The end of the wait is no cause of it.
			if none.Causes[name] == nil || ctx.Err() == nil {
				none.Causes[name] = err
			}
		}
		if err := p.wait(ctx); err != nil {
			none.Waited = time.Since(began)
			if errors.Is(err, context.Canceled) {
				return nil, err
			}
			return nil, none
		}
	}
}

// final is the error of servers of which none has a reason that may pass.
func final(causes map[string]error) (last error) {
	for _, err := range causes {
		if Classify(err) != Permanent {
			return nil
		}
		last = err
	}
	return last
}

// entry is how one server of a round let in.
type entry struct {
	host int
	conn *Conn
	err  error
}

// round asks the servers once, the one that was the primary last first, and gives the first session; while no epoch is
// known, it gives the one of the latest.
func (c *Connector) round(ctx context.Context) (*Conn, map[string]error) {
	c.mu.Lock()
	first, known := c.best, c.epoch.System != ""
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	entries := make(chan entry)
	begun, ended := 0, 0
	begin := func() {
		i := (first + begun) % len(c.hosts)
		begun++
		go func() {
			conn, err := c.enter(ctx, c.hosts[i])
			entries <- entry{host: i, conn: conn, err: err}
		}()
	}
	begin()
	for !known && begun < len(c.hosts) {
		begin()
	}
	causes := map[string]error{}
	var best entry
	timer := time.NewTimer(stagger)
	defer timer.Stop()
search:
	for ended < begun {
		select {
		case e := <-entries:
			ended++
			switch {
			case e.err != nil:
				causes[c.hosts[e.host].name] = e.err
				if begun < len(c.hosts) {
					begin()
				}
				continue
			case best.conn == nil:
				best = e
			case best.conn.epoch().before(e.conn.epoch()):
				_ = best.conn.Close() // it was not used
				best = e
			default:
				_ = e.conn.Close() // it was not used
			}
			if known {
				break search
			}
			timer.Reset(settle)
		case <-timer.C:
			if best.conn != nil {
				break search
			}
			if begun < len(c.hosts) {
				begin()
			}
			timer.Reset(stagger)
		}
	}
	cancel()
	go func() { // those that are still on their way end soon, as their context has
		for ; ended < begun; ended++ {
			if e := <-entries; e.conn != nil {
				_ = e.conn.Close() // it was not used
			}
		}
	}()
	if best.conn != nil {
		c.prefer(best.host)
	}
	return best.conn, causes
}
