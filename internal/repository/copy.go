package repository

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/process"
)

const copiesAtOnce = 3

// CopyBase copies a base from another repository of this source, byte for byte and compared on the way. It needs no
// key. The base is claimed there for the time, if claims can be put there. progress is told bytes as stored; it may be nil.
func (r *Repository) CopyBase(ctx context.Context, from *Repository, id string, progress func(done, total int64)) error {
	if err := r.sameKeys(from); err != nil {
		return err
	}
	release, err := from.Hold(ctx, history.Chain{Base: history.Base{ID: id}}, "copy to "+r.store.String())
	if err != nil {
		return err
	}
	defer release()
	o, err := from.find(ctx, manifestName(id))
	if err != nil {
		return err
	}
	b, err := from.readListed(ctx, o)
	if err != nil {
		return err
	}
	m, err := parseManifest(b, id)
	if err != nil {
		return err
	}
	var copied atomic.Int64
	count := func(n int64) {
		if now := copied.Add(n); progress != nil {
			progress(now, m.Base.StoredBytes)
		}
	}
	g, copying := errgroup.WithContext(ctx)
	g.SetLimit(copiesAtOnce)
	for _, part := range m.parts() {
		g.Go(func() error { process.YieldFor(copying); return r.copyObject(copying, from, part, count) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("copy base %s of %s: %w", id, r.source, err)
	}
	if err := r.copyObject(ctx, from, o, count); err != nil {
		return fmt.Errorf("copy base %s of %s: %w", id, r.source, err)
	}
	if err := r.protect(ctx, m.names()...); err != nil {
		return fmt.Errorf("copy base %s of %s: %w", id, r.source, err)
	}
	return r.listBase(ctx, m.Base, b)
}

// CopySegment copies a segment from another repository of this source, byte for byte and compared on the way. It claims
// nothing: that would cost more than the copy, which fails where the segment was dropped meanwhile. A segment that was
// dropped here is not copied: what is left of it may be deleted any moment.
func (r *Repository) CopySegment(ctx context.Context, from *Repository, seg history.Segment) error {
	if err := r.sameKeys(from); err != nil {
		return err
	}
	o, body, err := from.findSegment(ctx, seg.Name)
	if err != nil {
		return err
	}
	if o.Kind == Tip {
		return fmt.Errorf("copy %s of %s: it is a tip, and will be replaced by a segment", seg.Name, r.source)
	}
	dropped := false
	err = r.ledger.Peek(ctx, func(ledger.Checkpoint) error { dropped = r.fold.dropped[o.Name]; return nil })
	if dropped || err != nil {
		return err
	}
	err = r.copyObject(ctx, from, o, nil)
	if err == nil {
		err = r.protect(ctx, o.Name)
	}
	if err != nil {
		return fmt.Errorf("copy %s of %s: %w", seg.Name, r.source, err)
	}
	encoded, err := ledger.Body(body)
	if err != nil {
		return err
	}
	leaf := ledger.Leaf{Kind: string(Segment), Name: o.Name, Size: o.Size, SHA256: o.SHA256, Body: encoded}
	_, err = r.list(ctx, Receipt{}, func(head ledger.Checkpoint) (ledger.Change, error) {
		c := ledger.Change{Tips: head.Tips, Whole: head.Whole}
		if _, stands := r.fold.objects[o.Name]; !stands && !r.fold.dropped[o.Name] {
			c.Leaves = []ledger.Leaf{leaf}
		}
		return c, nil
	})
	return err
}

// copyObject copies one object under the same name; one that is there already is compared.
func (r *Repository) copyObject(ctx context.Context, from *Repository, o Object, count func(int64)) error {
	return r.copyFrom(ctx, from, o.Name, o, count)
}

// copyFrom copies the object called name there to o here.
func (r *Repository) copyFrom(ctx context.Context, from *Repository, name string, o Object, count func(int64)) error {
	open := func() (io.ReadCloser, error) {
		body, err := from.store.Open(ctx, from.object(name), 0, o.Size+1)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.TeeReader(body, counter{count}), body}, nil
	}
	return r.ensure(ctx, o, open, func(body io.Reader, object string) *expecting { return expect(body, object, o.Size, o.SHA256) })
}
