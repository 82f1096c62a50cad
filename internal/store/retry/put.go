package retry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"time"
)

const (
	wholeSize  = 1 << 20  // an object up to here is compared as a whole, in bytes
	endSize    = 64 << 10 // of a larger one, so much at either end
	bufferSize = 64 << 20 // what a store may hold back before it sends it, in bytes
)

// Put implements store.Store.
func (w wrapper) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	body := newBody(r)
	unsure := false // an earlier try failed in a way that may have stored the object
	return w.c.repeat(ctx, "put", name, func(int) (bool, error) {
		if err := body.rewind(); err != nil {
			return false, err
		}
		err := w.putOnce(ctx, name, body, size)
		if unsure && errors.Is(err, fs.ErrExist) && w.isOurs(ctx, name, body) {
			return false, nil
		}
		unsure = unsure || err != nil && !errors.Is(err, fs.ErrExist)
		return body.canRewind(), err
	})
}

func (w wrapper) putOnce(ctx context.Context, name string, b *body, size int64) error {
	watched, watch := watch(ctx, w.c.Silence)
	defer watch.stop()
	b.before, b.after = watch.pause, func() {
		held := time.Duration(min(b.read, bufferSize)) * time.Second / time.Duration(w.c.MinRate)
		watch.resume(w.c.Silence + held)
	}
	return watch.explain(w.Store.Put(watched, name, b, size))
}

// isOurs tells whether the object under name is the body. Where that cannot be found out it is not.
func (w wrapper) isOurs(ctx context.Context, name string, b *body) bool {
	size, err := b.size()
	if err != nil {
		return false
	}
	o, err := w.Stat(ctx, name)
	if err != nil || o.Size != size {
		return false
	}
	if size <= wholeSize {
		return w.sameRange(ctx, name, b, 0, size)
	}
	return w.sameRange(ctx, name, b, 0, endSize) && w.sameRange(ctx, name, b, size-endSize, endSize)
}

func (w wrapper) sameRange(ctx context.Context, name string, b *body, offset, length int64) bool {
	want, err := b.section(offset, length)
	if err != nil {
		return false
	}
	r, err := w.Open(ctx, name, offset, length)
	if err != nil {
		return false
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	return err == nil && bytes.Equal(got, want)
}

// body is what a Put reads: rewound between tries where the reader can, and telling when the caller's reader is at
// work.
type body struct {
	r             io.Reader
	seeker        io.Seeker // nil if r can't be rewound
	start         int64
	read          int64
	before, after func()
}

func newBody(r io.Reader) *body {
	b := &body{r: r}
	if s, ok := r.(io.Seeker); ok {
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			b.seeker, b.start = s, at
		}
	}
	return b
}

func (b *body) Read(p []byte) (int, error) {
	b.before()
	defer b.after()
	n, err := b.r.Read(p)
	b.read += int64(n)
	return n, err
}

func (b *body) canRewind() bool { return b.seeker != nil || b.read == 0 }

func (b *body) rewind() error {
	if b.read == 0 {
		return nil
	}
	b.read = 0
	_, err := b.seeker.Seek(b.start, io.SeekStart)
	return err
}

func (b *body) size() (int64, error) {
	if b.seeker == nil {
		return 0, errors.ErrUnsupported
	}
	b.read = 1 // The position is no longer the start.
	end, err := b.seeker.Seek(0, io.SeekEnd)
	return end - b.start, err
}

func (b *body) section(offset, length int64) ([]byte, error) {
	if _, err := b.seeker.Seek(b.start+offset, io.SeekStart); err != nil {
		return nil, err
	}
	p := make([]byte, length)
	_, err := io.ReadFull(b.r, p)
	return p, err
}
