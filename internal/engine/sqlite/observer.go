package sqlite

import (
	"context"
	"sync"
	"time"
)

// How often the wal-index is looked at: one read of 120 bytes from memory, and a wake-up, which costs more.
const (
	lookBusy  = 5 * time.Millisecond   // within a second of a write
	lookIdle  = 20 * time.Millisecond  // at other times where writes are not told
	lookArmed = 250 * time.Millisecond // where they are, to be sure
	lookCalm  = 2 * time.Second        // the same a minute after the last write
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

	looking sync.Mutex // held for a look, so that notes stand in the order of their times

	mu     sync.Mutex
	moves  []moved
	latest walIndex
}

// maxMoves bounds the notes; older ones are thinned out, which makes their stamps later, never earlier.
const maxMoves = 1 << 16

func newObserver(now func() time.Time, read func() (walIndex, error)) *observer {
	return &observer{now: now, read: read, wake: make(chan struct{}, 1)}
}

// run looks until ctx ends. wal is the path of the WAL, writes to which wake it where the system tells of them.
func (o *observer) run(ctx context.Context, wal string) {
	tell := newNudge(wal)
	defer tell.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	busy, armed, fresh := time.Now(), false, false
	for {
		told := false
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-tell.written():
			told = true
		}
		moved := o.look()
		switch {
		case armed && moved && !told && !fresh && !toldSoon(tell):
			// The file system does not tell of writes by others, as some in virtual machines and containers do not.
			tell.disarm()
			tell.close()
			tell, armed = nil, false
			fallthrough
		case moved || told:
			busy = time.Now()
			if armed {
				tell.disarm()
				armed = false
			}
			timer.Reset(lookBusy)
		case time.Since(busy) < time.Second:
			timer.Reset(lookBusy)
		case armed && time.Since(busy) > time.Minute:
			timer.Reset(lookCalm)
		case armed:
			timer.Reset(lookArmed)
		default:
			if armed = tell.arm(); armed {
				fresh = true
				timer.Reset(0) // for what was written just before
				continue
			}
			timer.Reset(lookIdle)
		}
		fresh = false
	}
}

// toldSoon reports whether the news of a write that was already seen still arrives.
func toldSoon(tell *nudge) bool {
	select {
	case <-tell.written():
		return true
	case <-time.After(lookIdle):
		return false
	}
}

// look notes what the wal-index says, and reports whether there were commits.
func (o *observer) look() bool {
	o.looking.Lock()
	defer o.looking.Unlock()
	before := o.latest
	x, _, err := o.settled()
	if err != nil || x == before {
		return false
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return x.frames > 0 && (x.salt != before.salt || x.frames != before.frames)
}

// current notes what the wal-index says and returns it with a moment at which exactly that had been committed.
func (o *observer) current() (walIndex, time.Time, error) {
	o.looking.Lock()
	defer o.looking.Unlock()
	return o.settled()
}

// settled reads the wal-index until it says the same before and after a moment: all up to there had been committed at
// that moment, and nothing else. One reading tells only half of that, as this process may stand still between the
// reading and the clock. Where commits come too fast for that, the moment is the one before the last reading.
func (o *observer) settled() (walIndex, time.Time, error) {
	at := o.now()
	x, err := o.read()
	for range 100 {
		if err != nil {
			return x, at, err
		}
		now := o.now()
		var again walIndex
		again, err = o.read()
		at = now
		if err == nil && again.salt == x.salt && again.frames == x.frames {
			x = again
			break
		}
		x = again
	}
	if err == nil {
		o.note(x, at)
	}
	return x, at, err
}

func (o *observer) note(x walIndex, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	commits := x.salt != o.latest.salt || x.frames != o.latest.frames
	o.latest = x
	if !commits {
		return
	}
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
