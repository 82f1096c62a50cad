package repository_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/store"
)

// clock is the time of a model, for its writers and for its stores.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond) // no two things happen at one moment
	return c.now
}

func (c *clock) forward(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.After(c.now) {
		c.now = to
	}
}

// timed is a store whose objects are created at the time of the model.
type timed struct {
	store.Store
	clock *clock

	mu      sync.Mutex
	created map[string]time.Time
}

func (s *timed) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	err := s.Store.Put(ctx, name, r, size)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.created[name] = s.clock.read()
	}
	return err
}

func (s *timed) at(o store.Object) store.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Created = s.created[o.Name]
	return o
}

func (s *timed) Stat(ctx context.Context, name string) (store.Object, error) {
	o, err := s.Store.Stat(ctx, name)
	return s.at(o), err
}

func (s *timed) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	return s.Store.List(ctx, prefix, func(o store.Object) error { return visit(s.at(o)) })
}

// errKilled is what a process that was killed gets from every call.
var errKilled = errors.New("killed")

// process is one host's work on the stores. Each call to a store waits until the model lets it happen.
type process struct {
	name   string
	calls  chan *call
	done   chan error
	dead   atomic.Bool
	wait   []*call // that came and were not let go
	ended  bool
	result error
}

// call is one call to a store.
type call struct {
	what string
	let  chan fate
}

// fate is what becomes of a call.
type fate int

const (
	happens fate = iota
	killedBefore
	killedAfter
)

// startProcess begins work as a process.
func startProcess(name string, work func(p *process) error) *process {
	p := &process{name: name, calls: make(chan *call, 64), done: make(chan error, 1)}
	go func() { p.done <- work(p) }()
	return p
}

// settle waits until the process is at a call, or has ended.
func (p *process) settle() {
	for len(p.wait) == 0 && !p.ended {
		select {
		case c := <-p.calls:
			p.wait = append(p.wait, c)
		case p.result = <-p.done:
			p.ended = true
		}
	}
}

// let lets one of the calls happen that wait.
func (p *process) let(rng *rand.Rand, f fate) (what string) {
	i := rng.IntN(len(p.wait))
	c := p.wait[i]
	p.wait = append(p.wait[:i], p.wait[i+1:]...)
	if f != happens {
		p.dead.Store(true)
		for _, other := range p.wait {
			other.let <- killedBefore
		}
		p.wait = nil
	}
	c.let <- f
	return c.what
}

// at makes a call.
func (p *process) at(what string, do func() error) error {
	if p.dead.Load() {
		return errKilled
	}
	c := &call{what: what, let: make(chan fate, 1)}
	p.calls <- c
	switch f := <-c.let; f {
	case killedBefore:
		return errKilled
	case killedAfter:
		_ = do() // its answer is not heard any more
		return errKilled
	}
	return do()
}

// on is a store as the process sees it.
func (p *process) on(s store.Store) store.Store { return &gated{s, p} }

type gated struct {
	store.Store
	p *process
}

func (g *gated) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	return g.p.at("put "+name, func() error { return g.Store.Put(ctx, name, r, size) })
}

func (g *gated) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = g.p.at("open "+name, func() (err error) {
		r, err = g.Store.Open(ctx, name, offset, length)
		return err
	})
	return r, err
}

func (g *gated) Stat(ctx context.Context, name string) (o store.Object, err error) {
	err = g.p.at("stat "+name, func() (err error) {
		o, err = g.Store.Stat(ctx, name)
		return err
	})
	return o, err
}

func (g *gated) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	return g.p.at("list "+prefix, func() error { return g.Store.List(ctx, prefix, visit) })
}

func (g *gated) Delete(ctx context.Context, name string) error {
	return g.p.at("delete "+name, func() error { return g.Store.Delete(ctx, name) })
}
