package ledger_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/backstaydb/backstay/internal/store"
)

var errFault = errors.New("planted fault")

// faulty fails a share of all calls, before or after they had their effect.
type faulty struct {
	store.Store
	mu    sync.Mutex
	rnd   *rand.Rand
	share float64
	hits  int
}

// roll returns whether to fail before the call, and whether to fail after it.
func (f *faulty) roll() (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rnd.Float64() >= f.share {
		return false, false
	}
	f.hits++
	before = f.rnd.IntN(2) == 0
	return before, !before
}

func (f *faulty) call(do func() error) error {
	before, after := f.roll()
	if before {
		return errFault
	}
	err := do()
	if after {
		return errFault
	}
	return err
}

func (f *faulty) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	return f.call(func() error { return f.Store.Put(ctx, name, r, size) })
}

func (f *faulty) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	if before, after := f.roll(); before || after {
		return nil, errFault
	}
	return f.Store.Open(ctx, name, offset, length)
}

func (f *faulty) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	return f.call(func() error { return f.Store.List(ctx, prefix, visit) })
}

func (f *faulty) Delete(ctx context.Context, name string) error {
	return f.call(func() error { return f.Store.Delete(ctx, name) })
}
