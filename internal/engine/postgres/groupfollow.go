package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// groupSource is a Source that is connected to one member of a Group.
type groupSource struct {
	*Source
	group  Group
	member string

	mu    sync.Mutex
	begun history.Position // where Follow began: from there on the log is whole; zero before
	slots map[string]slotWord
}

// lossPause is waited after a connection that was lost, before it is tried again: the cluster may name another server by then.
const lossPause = 100 * time.Millisecond

// Follow is engine.Source's. It ends with engine.ErrMoved where another server is to be followed, or this one is lost.
func (s *groupSource) Follow(ctx context.Context, from engine.Bookmark, ship engine.Ship) error {
	if s.group.Lead == nil {
		return s.Source.Follow(ctx, from, ship)
	}
	changed, end, ok := s.group.Lead.begin(s.member)
	if !ok {
		return s.moved()
	}
	defer end()
	defer s.group.Lead.caught.Store(false)
	s.mu.Lock()
	s.begun = from.Position
	s.mu.Unlock()
	inner, cancel := context.WithCancelCause(ctx)
	var aside sync.WaitGroup
	aside.Go(func() {
		select {
		case <-changed:
			cancel(engine.ErrMoved)
		case <-inner.Done():
		}
	})
	aside.Go(func() { s.keepSlots(inner) })
	err := s.Source.Follow(inner, from, ship)
	cancel(nil)
	aside.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(context.Cause(inner), engine.ErrMoved):
		return s.moved()
	case s.lost(err):
		_ = backoff.Sleep(ctx, lossPause) // the caller sees the end of ctx
		return fmt.Errorf("%w: %w", s.moved(), err)
	}
	return err
}

func (s *groupSource) moved() error {
	return fmt.Errorf("follow %s of cluster %s: %w", s.member, s.group.Name, engine.ErrMoved)
}

// lost reports whether an error is that of a connection, or of a server that ends or begins: not of the log, nor of what was done with it.
func (s *groupSource) lost(err error) bool {
	var gap *history.GapError
	var refused shipError
	var bad *unreadable
	if err == nil || errors.As(err, &gap) || errors.As(err, &refused) || errors.As(err, &bad) {
		return false
	}
	switch code(err) {
	case "", notReady, "57P01", "57P02":
		return true
	}
	return false
}

// Status is engine.Source's.
func (s *groupSource) Status() engine.Status {
	st := s.Source.Status()
	if st.Text == "" {
		st.Text = s.slotText()
	}
	return st
}

// Identify is engine.Source's.
func (s *groupSource) Identify(ctx context.Context) (engine.Identity, error) {
	id, err := s.Source.Identify(ctx)
	id.Mode = "stream of " + s.member
	return id, err
}
