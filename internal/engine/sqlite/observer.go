package sqlite

import (
	"context"
	"sync"
	"time"
)

// How often the wal-index is looked at. One look is one read of 120 bytes from memory; no watch on the folder is
// needed (and one by kqueue would open and close the files in it, which drops SQLite's locks).
const (
	lookBusy = 5 * time.Millisecond  // within a second of a commit
	lookIdle = 20 * time.Millisecond // at other times
)

// moved says that at time the WAL counted up to frame.
type moved struct {
	salt  salt
	frame uint32
	time  time.Time
}

// observer notes when the end of the WAL moves, whatever else is going on.
type observer struct {
	now  func() time.Time
	read func() (walIndex, error)
	wake chan struct{} // holds one token when there is something new

	mu     sync.Mutex
	moves  []moved
	latest walIndex
}

// maxMoves bounds the notes; older ones are thinned out, which makes their stamps later, never earlier.
const maxMoves = 1 << 16

func newObserver(now func() time.Time, read func() (walIndex, error)) *observer {
	return &observer{now: now, read: read, wake: make(chan struct{}, 1)}
}

// run looks until ctx ends.
func (o *observer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last walIndex
	var lastMove time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if x, err := o.read(); err == nil && (x.salt != last.salt || x.frames != last.frames || x.backfill != last.backfill) {
			if x.salt != last.salt || x.frames != last.frames {
				o.note(x, o.now())
				lastMove = time.Now()
			}
			last = x
			select {
			case o.wake <- struct{}{}:
			default:
			}
		}
		if time.Since(lastMove) < time.Second {
			timer.Reset(lookBusy)
		} else {
			timer.Reset(lookIdle)
		}
	}
}

func (o *observer) note(x walIndex, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest = x
	if len(o.moves) == maxMoves {
		for i := range maxMoves / 4 {
			o.moves[i] = o.moves[2*i+1]
		}
		o.moves = append(o.moves[:maxMoves/4], o.moves[maxMoves/2:]...)
	}
	o.moves = append(o.moves, moved{x.salt, x.frames, at})
}

// seen returns when the WAL was first seen to count frame, and forgets what came before it. If that was not
// seen yet it is now.
func (o *observer) seen(s salt, frame uint32) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, m := range o.moves {
		if m.salt == s && m.frame >= frame {
			o.moves = o.moves[i:]
			return m.time
		}
	}
	return o.now()
}

// after returns the newest end of the WAL, and when it first went beyond frame.
func (o *observer) after(s salt, frame uint32) (walIndex, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.moves {
		if m.salt != s || m.frame > frame {
			return o.latest, m.time
		}
	}
	return o.latest, time.Time{}
}
