package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/process"
)

// fleet are the sources of a daemon, in the order of their names. Each runs in the daemon's run group and can be ended by itself.
type fleet struct {
	mu    sync.Mutex
	parts []*part
	group *errgroup.Group // nil before start
	ctx   context.Context // of the group; each part's ends with it
}

// part is a source of a fleet.
type part struct {
	*protected
	stint
}

// all are the sources as they are now.
func (f *fleet) all() []*part {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.parts)
}

// find is the source of a name; nil if there is none.
func (f *fleet) find(name string) *part {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.place(name); ok {
		return f.parts[i]
	}
	return nil
}

func (f *fleet) place(name string) (int, bool) {
	return slices.BinarySearchFunc(f.parts, name, func(p *part, name string) int { return strings.Compare(p.name, name) })
}

// start has all sources run in g, and those that are added later.
func (f *fleet) start(ctx context.Context, g *errgroup.Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.group, f.ctx = g, ctx
	for _, p := range f.parts {
		f.run(p)
	}
}

// add takes a source in.
func (f *fleet) add(p *protected) {
	f.mu.Lock()
	defer f.mu.Unlock()
	added := &part{protected: p, stint: newStint()}
	i, _ := f.place(p.name)
	f.parts = slices.Insert(f.parts, i, added)
	if f.group != nil {
		f.run(added)
	}
}

func (f *fleet) run(p *part) {
	p.begin(process.Considerate(f.ctx), f.group, p.protected.run) // of its work only copies ask; the log goes first
}

// remove ends a source in order: what it captured is shipped for as long as at the end of the daemon. It waits for that.
func (f *fleet) remove(name string) {
	f.mu.Lock()
	i, ok := f.place(name)
	if !ok {
		f.mu.Unlock()
		return
	}
	p := f.parts[i]
	f.mu.Unlock()
	p.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.place(name); ok {
		f.parts = slices.Delete(f.parts, i, i+1)
	}
}

// close closes what was opened for sources that never ran.
func (f *fleet) close() error {
	var errs []error
	for _, p := range f.all() {
		if !p.began() {
			errs = append(errs, p.writers.close())
		}
	}
	return errors.Join(errs...)
}
