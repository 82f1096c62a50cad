package limit

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
)

// burst is how long a line that was idle may be used without a wait.
const burst = time.Second

// bucket is a token bucket that holds what flows in a second.
type bucket struct {
	rate atomic.Int64 // bytes/s; zero or less: no bound

	mu   sync.Mutex
	paid time.Time // until when the line is spoken for
}

func newBucket(rate int64) *bucket {
	b := &bucket{}
	b.rate.Store(rate)
	return b
}

// take waits until n bytes may flow.
func (b *bucket) take(ctx context.Context, n int) error {
	if wait := b.owe(n); wait > 0 {
		return backoff.Sleep(ctx, wait)
	}
	return nil
}

// owe notes that n bytes flow, and says how long whoever can wait should.
func (b *bucket) owe(n int) time.Duration {
	rate := b.rate.Load()
	if rate <= 0 || n <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if idle := now.Add(-burst); b.paid.Before(idle) {
		b.paid = idle
	}
	b.paid = b.paid.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return b.paid.Sub(now)
}

// meter returns r at the bucket's rate.
func (b *bucket) meter(ctx context.Context, r io.Reader) io.Reader { return &metered{b, ctx, r} }

type metered struct {
	b   *bucket
	ctx context.Context // of the one Put or Open
	r   io.Reader
}

// Read pays for what came: it is not known before.
func (m *metered) Read(p []byte) (int, error) {
	// No piece takes longer than a second, so that an end of the context shows soon and the flow is even.
	piece := int64(len(p))
	if rate := m.b.rate.Load(); rate > 0 {
		piece = min(piece, rate)
	}
	n, err := m.r.Read(p[:piece])
	if failed := m.b.take(m.ctx, n); failed != nil {
		return n, failed
	}
	return n, err
}
