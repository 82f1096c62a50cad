package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Lead says which server of a Group is followed: who knows the cluster sets it, and whoever follows ends a stream from any other. The
// zero Lead names nobody.
type Lead struct {
	mu      sync.Mutex
	member  string
	changed chan struct{} // closed when member is another one
	streams int           // that are open, or being opened
	idle    chan struct{} // closed when there are none; nil while nobody waits for that

	goal   atomic.Uint64 // where the server's log ended when the stream began
	caught atomic.Bool   // all of that is here
	heard  atomic.Int64  // when the server that is followed last said something, by our clock; 0: it has not
}

// Set names the member to be followed from now on, "" for none.
func (l *Lead) Set(member string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if member == l.member {
		return
	}
	l.member = member
	l.heard.Store(0)
	l.caught.Store(false)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Get gives the member to be followed, and what is closed when it is another one.
func (l *Lead) Get() (member string, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.member, l.changed
}

// Clear names nobody, and returns when nothing streams any more: no server is told of any log from then on.
func (l *Lead) Clear(ctx context.Context) error {
	l.Set("")
	for {
		l.mu.Lock()
		if l.streams == 0 {
			l.mu.Unlock()
			return nil
		}
		if l.idle == nil {
			l.idle = make(chan struct{})
		}
		idle := l.idle
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-idle:
		}
	}
}

// Heard is the age of the last word of the server that is followed; negative: there was none.
func (l *Lead) Heard() time.Duration {
	at := l.heard.Load()
	if at == 0 {
		return -1
	}
	return max(0, time.Since(time.Unix(0, at)))
}

// Caught reports whether all is here that the server which is followed had when its stream began.
func (l *Lead) Caught() bool { return l.caught.Load() }

// from notes where the server's log ends, before its stream begins, and reached how far it has come.
func (l *Lead) from(end wal.LSN) {
	l.caught.Store(false)
	l.goal.Store(uint64(end))
}

func (l *Lead) reached(at wal.LSN) {
	if uint64(at) >= l.goal.Load() {
		l.caught.Store(true)
	}
}

// begin notes a stream from member, until end is called. It reports false where another one is to be followed.
func (l *Lead) begin(member string) (changed <-chan struct{}, end func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.member != member {
		return nil, nil, false
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	l.streams++
	return l.changed, l.end, true
}

func (l *Lead) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams--; l.streams == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}
