package bare

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
)

func (m *Member) promote(ctx context.Context, s *session, now sight, a cluster.Action) error {
	at := history.At(now.timeline, now.at)
	switch {
	case now.primary && now.led == a.Epoch:
		return m.count(ctx, s, now, a)
	case now.primary && now.led > 0:
		return m.refuse("is primary of epoch %d, and was not fenced", now.led)
	case at.Before(a.Upto):
		return m.refuse("has %s, and was appointed with %s", at.Plain(), a.Upto.Plain())
	}
	if err := m.promise(ctx, s, now, a.Epoch); err != nil {
		return err
	}
	if !m.holds(a.Epoch) {
		m.beat(ctx, a.Epoch)
	}
	if !m.holds(a.Epoch) {
		return m.refuse("has no tenure of epoch %d yet", a.Epoch)
	}
	if now.primary { // adopted: it counts the quorum before it is of the epoch in which that is on record
		if err := m.tellQuorum(ctx, s, a.Quorum); err != nil {
			return err
		}
		return m.mark(ctx, s, "l", a.Epoch, now.led)
	}
	if err := m.detach(ctx, s, 0); err != nil {
		return err
	}
	if err := m.mark(ctx, s, "l", a.Epoch, now.led); err != nil {
		return err
	}
	if err := m.set(ctx, s, "synchronous_standby_names", rule(a.Quorum), "default_transaction_read_only", ""); err != nil {
		return err
	}
	if err := m.rise(ctx, s, a.Epoch); err != nil {
		return err
	}
	return m.tellQuorum(ctx, s, a.Quorum)
}

// rise promotes a standby that follows nobody, and waits until it is primary.
func (m *Member) rise(ctx context.Context, s *session, epoch uint64) error {
	if !m.holds(epoch) {
		return m.refuse("has no tenure of epoch %d any more", epoch)
	}
	if _, err := s.ask(ctx, "select pg_promote(false)"); err != nil {
		return err
	}
	for {
		r, err := s.ask(ctx, "select pg_is_in_recovery()")
		if err != nil || r.text(0, 0) == "f" {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// rule is the server's word for a quorum.
func rule(q cluster.Quorum) string {
	if q.K <= 0 {
		return ""
	}
	names := make([]string, len(q.Names))
	for i, n := range q.Names {
		names[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	return fmt.Sprintf("ANY %d (%s)", q.K, strings.Join(names, ", "))
}

func (m *Member) count(ctx context.Context, s *session, now sight, a cluster.Action) error {
	if !now.primary || now.led != a.Epoch {
		return m.refuse("is not primary of epoch %d", a.Epoch)
	}
	m.mu.Lock()
	done := m.counting.Is(a.Quorum) && m.told || a.Quorum.Step < m.counting.Step
	m.mu.Unlock()
	if done {
		return nil
	}
	return m.tellQuorum(ctx, s, a.Quorum)
}

// settling is how long the server's senders take at most to read their settings again, each by itself: until then a commit may be acknowledged by the rule before.
const settling = 250 * time.Millisecond

func (m *Member) tellQuorum(ctx context.Context, s *session, q cluster.Quorum) error {
	m.mu.Lock()
	m.counting, m.told = q, false
	m.mu.Unlock()
	if err := m.set(ctx, s, "synchronous_standby_names", rule(q)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settling):
	}
	now, err := m.see(ctx, s)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told, m.switched = true, history.At(now.timeline, now.at)
	return nil
}
