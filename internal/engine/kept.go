package engine

import (
	"context"
	"sync"
)

// Kept looks at a server on a connection of type C that it keeps from one look to the next, as a Looker promises. Its functions are set
// before the first look.
type Kept[C any] struct {
	Dial    func(ctx context.Context) (C, error)
	Ask     func(ctx context.Context, conn C) (Sight, error)
	Drop    func(conn C)                               // closes one on which nothing is under way; it must not wait for a server that hangs
	Explain func(ctx context.Context, err error) error // what is said where a fresh connection fails, or its look

	mu   sync.Mutex
	conn *C // nil: none
	gone bool
}

// Look is Looker's.
func (k *Kept[C]) Look(ctx context.Context) (Sight, error) {
	k.mu.Lock()
	kept := k.conn
	k.mu.Unlock()
	if kept != nil {
		if s, err := k.Ask(ctx, *kept); err == nil || ctx.Err() != nil {
			return s, err
		}
		k.keep(nil)
	}
	fresh, err := k.Dial(ctx)
	if err != nil {
		return Sight{}, k.Explain(ctx, err)
	}
	s, err := k.Ask(ctx, fresh)
	if err != nil {
		k.Drop(fresh)
		return s, k.Explain(ctx, err)
	}
	k.keep(&fresh)
	return s, nil
}

// keep puts another connection in the place of the one that is kept.
func (k *Kept[C]) keep(conn *C) {
	k.mu.Lock()
	old := k.conn
	if k.conn = conn; k.gone {
		k.conn, old = nil, conn
	}
	k.mu.Unlock()
	if old != nil {
		k.Drop(*old)
	}
}

// Close is Looker's.
func (k *Kept[C]) Close() error {
	k.mu.Lock()
	k.gone = true
	k.mu.Unlock()
	k.keep(nil)
	return nil
}
