package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/proxy/postgres"
)

// How long a verifier counts without being read again, and for how long where no server answers: a new login while there is no
// primary is held, not refused.
const (
	verifierFresh = 5 * time.Second
	verifierStale = 10 * time.Minute
)

// verifiers are what servers keep of passwords, for logins that end at the proxy. They stay in memory.
type verifiers struct {
	reachable func() []engine.Looker
	now       func() time.Time

	mu   sync.Mutex
	kept map[string]readVerifier
}

// readVerifier is a verifier as it was read.
type readVerifier struct {
	verifier string
	err      error // nil, or postgres.ErrUnread
	at       time.Time
}

func newVerifiers(reachable func() []engine.Looker) *verifiers {
	return &verifiers{reachable: reachable, now: time.Now, kept: map[string]readVerifier{}}
}

// find implements postgres.Verifiers.
func (v *verifiers) find(ctx context.Context, role string) (string, error) {
	now := v.now()
	v.mu.Lock()
	have, known := v.kept[role]
	v.mu.Unlock()
	if known && now.Sub(have.at) < verifierFresh {
		return have.verifier, have.err
	}
	ctx, cancel := context.WithTimeout(ctx, verifierFresh)
	defer cancel()
	last := error(postgres.ErrUnread) // nobody can be asked: let the server do it
	for _, l := range v.reachable() {
		asked, ok := l.(engine.Verifier)
		if !ok {
			continue
		}
		text, err := asked.Verifier(ctx, role)
		if err == nil {
			return v.keep(role, readVerifier{verifier: text, at: now})
		}
		if errors.Is(err, engine.ErrUnreadable) {
			return v.keep(role, readVerifier{err: postgres.ErrUnread, at: now})
		}
		last = err
	}
	if known && now.Sub(have.at) < verifierStale {
		return have.verifier, have.err
	}
	return "", last
}

// keep remembers what was read, of so many roles as a server may have that anybody uses.
func (v *verifiers) keep(role string, k readVerifier) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.kept) >= 10000 { // names that strangers make up must not fill the memory
		clear(v.kept)
	}
	v.kept[role] = k
	return k.verifier, k.err
}
