package retry

import (
	"context"
	"io"

	"github.com/backstaydb/backstay/internal/store"
)

// Open implements store.Store. The reader goes on where it was when a connection breaks.
func (w wrapper) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r := &reader{w: w, ctx: ctx, name: name, offset: offset, length: length}
	err := w.c.repeat(ctx, "open", name, func(int) (bool, error) { return true, r.open() })
	if err != nil {
		return nil, err
	}
	return r, nil
}

// reader is an object being read, over one or several connections.
type reader struct {
	w      wrapper
	ctx    context.Context // of the Open, which holds for all that is read
	name   string
	offset int64 // of the next byte
	length int64 // what is left; -1 means to the end
	inner  io.ReadCloser
	watch  *watched
}

func (r *reader) open() error {
	watched, watch := watch(r.ctx, r.w.c.Silence)
	inner, err := r.w.Store.Open(watched, r.name, r.offset, r.length)
	watch.pause()
	if err != nil {
		defer watch.stop()
		return watch.explain(err)
	}
	r.inner, r.watch = inner, watch
	return nil
}

// Read implements io.Reader. The bound on attempts is for each Read: a long read may break more often.
func (r *reader) Read(p []byte) (n int, err error) {
	err = r.w.c.repeat(r.ctx, "read", r.name, func(int) (bool, error) {
		if r.inner == nil {
			if err := r.open(); err != nil {
				return true, err
			}
		}
		r.watch.resume(r.w.c.Silence)
		n, err = r.inner.Read(p)
		r.watch.pause()
		r.offset += int64(n)
		if r.length >= 0 {
			r.length -= int64(n)
		}
		if err == nil || err == io.EOF {
			return false, err
		}
		err = r.watch.explain(err)
		r.drop()
		if n > 0 {
			return false, nil
		}
		return true, err
	})
	return n, err
}

// drop gives a broken connection up.
func (r *reader) drop() {
	// What closing says does not matter: nothing of it is used any more.
	_ = r.inner.Close()
	r.watch.stop()
	r.inner = nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.inner == nil {
		return nil
	}
	err := r.inner.Close()
	r.watch.stop()
	r.inner = nil
	return err
}

// List implements store.Store. A listing that breaks is begun again, without a second visit to what was seen.
func (w wrapper) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	var last string
	var refused error
	return w.c.repeat(ctx, "list", prefix, func(int) (bool, error) {
		watched, watch := watch(ctx, w.c.Silence)
		defer watch.stop()
		err := w.Store.List(watched, prefix, func(o store.Object) error {
			watch.pause()
			defer watch.resume(w.c.Silence)
			if o.Name <= last {
				return nil
			}
			last = o.Name
			refused = visit(o)
			return refused
		})
		return refused == nil, watch.explain(err)
	})
}
