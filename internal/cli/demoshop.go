package cli

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// shopProcess is the running shop and the ledger of what it committed.
type shopProcess struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when the last event has been read

	mu     sync.Mutex
	events []shopEvent
	failed error
}

// startShop starts this very binary as the shop.
func startShop(ctx context.Context, dir string, errs io.Writer) (*shopProcess, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the shop: %w", err)
	}
	s := &shopProcess{cmd: exec.CommandContext(ctx, binary, "demo-shop", dir), done: make(chan struct{})}
	s.cmd.Stderr = errs
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the shop: %w", err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the shop: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the shop: %w", err)
	}
	go s.read(out)
	return s, nil
}

func (s *shopProcess) read(out io.Reader) {
	defer close(s.done)
	for in := json.NewDecoder(out); ; {
		var e shopEvent
		if err := in.Decode(&e); err != nil {
			s.mu.Lock()
			s.failed = err
			s.mu.Unlock()
			return
		}
		s.mu.Lock()
		s.events = append(s.events, e)
		s.mu.Unlock()
	}
}

// ledger is what was committed until now.
func (s *shopProcess) ledger() []shopEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]shopEvent(nil), s.events...)
}

// until waits for a state of the ledger.
func (s *shopProcess) until(ctx context.Context, reached func([]shopEvent) bool) error {
	for !reached(s.ledger()) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return errors.New("the shop ended too early")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// mistake has the shop delete all its orders, and returns that commit.
func (s *shopProcess) mistake(ctx context.Context) (shopEvent, error) {
	if _, err := io.WriteString(s.stdin, "mistake\n"); err != nil {
		return shopEvent{}, fmt.Errorf("make the mistake: %w", err)
	}
	var found shopEvent
	err := s.until(ctx, func(events []shopEvent) bool {
		for _, e := range events {
			if e.Mistake {
				found = e
			}
		}
		return found.Mistake
	})
	return found, err
}

// stop ends the shop; its ledger is complete then.
func (s *shopProcess) stop() error {
	err := s.stdin.Close()
	<-s.done
	return errors.Join(err, s.cmd.Wait())
}

// readShop reads the orders of a restored shop.
func readShop(ctx context.Context, dir string) ([]order, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "shop.db"))+"?mode=ro")
	if err != nil {
		return nil, fmt.Errorf("open the restored shop: %w", err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT id, customer, item, cents FROM orders ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("read the restored shop: %w", err)
	}
	defer rows.Close()
	var all []order
	for rows.Next() {
		var o order
		if err := rows.Scan(&o.ID, &o.Customer, &o.Item, &o.Cents); err != nil {
			return nil, fmt.Errorf("read the restored shop: %w", err)
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// compare holds restored orders against the ledger: all that was committed up to must has to be there, nothing that
// was begun after may, and what is there has to be equal. It returns how many rows were compared.
func compare(restored []order, ledger []shopEvent, must, may func(shopEvent) bool) (int, error) {
	committed := map[int64]shopEvent{}
	for _, e := range ledger {
		if e.Order != nil {
			committed[e.Order.ID] = e
		}
	}
	for _, o := range restored {
		e, ok := committed[o.ID]
		if !ok || *e.Order != o {
			return 0, fmt.Errorf("order %d was restored as %+v, which the shop never committed", o.ID, o)
		}
		if !may(e) {
			return 0, fmt.Errorf("order %d was restored, but it was committed after the target", o.ID)
		}
		delete(committed, o.ID)
	}
	for id, e := range committed {
		if must(e) {
			return 0, fmt.Errorf("order %d is lost: it was committed at %s and not restored", id, e.Committed.Format(time.RFC3339Nano))
		}
	}
	return len(restored), nil
}
