package limit

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
)

// burst is how long a line that was idle may be used without a wait.
const burst = time.Second

// bucket is a token bucket that holds what flows in a second; nil has no bound.
type bucket struct {
	rate int64 // bytes/s

	mu   sync.Mutex
	paid time.Time // until when the line is spoken for
}

func newBucket(rate int64) *bucket {
	if rate <= 0 {
		return nil
	}
	return &bucket{rate: rate}
}

// take waits until n bytes may flow.
func (b *bucket) take(ctx context.Context, n int) error {
	if b == nil || n <= 0 {
		return nil
	}
	b.mu.Lock()
	now := time.Now()
	if idle := now.Add(-burst); b.paid.Before(idle) {
		b.paid = idle
	}
	b.paid = b.paid.Add(time.Duration(float64(n) / float64(b.rate) * float64(time.Second)))
	wait := b.paid.Sub(now)
	b.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	return backoff.Sleep(ctx, wait)
}

// meter returns r at the bucket's rate.
func (b *bucket) meter(ctx context.Context, r io.Reader) io.Reader {
	if b == nil {
		return r
	}
	return &metered{b, ctx, r}
}

type metered struct {
	b   *bucket
	ctx context.Context // of the one Put or Open
	r   io.Reader
}

// Read pays for what came: it is not known before.
func (m *metered) Read(p []byte) (int, error) {
	// No piece takes longer than a second, so that an end of the context shows soon and the flow is even.
	n, err := m.r.Read(p[:min(int64(len(p)), max(m.b.rate, 1))])
	if failed := m.b.take(m.ctx, n); failed != nil {
		return n, failed
	}
	return n, err
}
