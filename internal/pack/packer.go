package pack

import (
	"context"

	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/process"
	"github.com/backstaydb/backstay/internal/zstd"
)

// packer compresses blocks in parallel and hands them on in the order in which they were submitted.
//
//	take ── submit ──┬─ workers: fill, digest, compress ─┐
//	                 └──────────── order ────────────────┴─ sink, one goroutine
//
// The number of blocks on the way is bounded; take waits for one to come free.
type packer struct {
	group *errgroup.Group
	ctx   context.Context // of the group: it ends with the first error or with cancel
	end   context.CancelCauseFunc
	work  chan *block
	order chan *block
	slots chan struct{}
}

// startPacker starts the goroutines; finish or abort waits for them. key is nil where nothing is digested: for log. What
// computes for a base lets the rest of the machine go before it, since the application's database is often beside us and
// nobody waits for a base.
func startPacker(ctx context.Context, workers int, key []byte, sink func(context.Context, *block) error) *packer {
	ctx, end := context.WithCancelCause(ctx)
	group, ctx := errgroup.WithContext(ctx)
	n := 2*workers + 2
	p := &packer{group: group, ctx: ctx, end: end,
		work: make(chan *block, n), order: make(chan *block, n), slots: make(chan struct{}, n)}
	yield := func() {}
	if key != nil {
		yield = process.Yield
	}
	for range workers {
		group.Go(func() error { yield(); p.pack(key); return nil })
	}
	group.Go(func() error { yield(); return p.hand(sink) })
	return p
}

// take returns an empty block. It waits while too many are on the way.
func (p *packer) take() (*block, error) {
	select {
	case p.slots <- struct{}{}:
		return newBlock(), nil
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	}
}

// submit sends a block that take gave on its way. It never waits.
func (p *packer) submit(b *block) {
	b.done = make(chan struct{}, 1) // not kept with the block: a channel is of one synctest bubble, the pool of all
	p.work <- b
	p.order <- b
}

func (p *packer) pack(key []byte) {
	w := newWorker(key)
	for b := range p.work {
		if p.ctx.Err() != nil {
			b.err = context.Cause(p.ctx)
			if b.filled != nil {
				b.filled()
			}
		} else {
			w.pack(b)
		}
		b.done <- struct{}{}
	}
}

func (p *packer) hand(sink func(context.Context, *block) error) error {
	var failed error
	for b := range p.order {
		<-b.done
		if failed == nil {
			if failed = b.err; failed == nil {
				failed = sink(p.ctx, b)
			}
			if failed != nil {
				p.end(failed)
			}
		}
		b.release()
		<-p.slots
	}
	return failed
}

// finish waits until all blocks have been handed on.
func (p *packer) finish() error {
	close(p.work)
	close(p.order)
	err := p.group.Wait()
	p.end(nil)
	return err
}

// abort gives up what is on the way and waits for the goroutines.
func (p *packer) abort(cause error) {
	p.end(cause)
	_ = p.finish()
}

// worker is what one goroutine packs blocks with.
type worker struct {
	encoder *zstd.Encoder
	hasher  *blake3.Hasher
}

func newWorker(key []byte) *worker {
	w := &worker{encoder: zstd.NewEncoder()}
	if key != nil {
		w.hasher = newHasher(key)
	}
	return w
}

// newHasher returns a keyed BLAKE3; key has 32 bytes.
func newHasher(key []byte) *blake3.Hasher {
	h, err := blake3.NewKeyed(key)
	if err != nil {
		panic("pack: digest key has not 32 bytes") // its type is [32]byte
	}
	return h
}

// pack fills b and makes its frames; b.err says how that went. Each frame is digested just before it is compressed,
// while it is in the processor's cache.
func (w *worker) pack(b *block) {
	if b.fill != nil {
		b.err = b.fill(b.mem[:b.plain])
		b.filled()
	}
	if b.err != nil {
		return
	}
	start, next := 0, 0
	for i, end := range b.ends {
		frame := b.mem[start:end]
		for ; next < len(b.extents) && b.extents[next].frame == i; next++ {
			e := &b.extents[next]
			e.digest = sum(w.hasher, frame[e.in:e.in+e.size])
		}
		before := len(b.packed)
		b.packed = w.encoder.Encode(b.packed, frame)
		b.stored = append(b.stored, len(b.packed)-before)
		start = end
	}
}

func sum(h *blake3.Hasher, p []byte) (d [32]byte) {
	h.Reset()
	h.Write(p)
	h.Sum(d[:0])
	return d
}

// giveBack returns a block that take gave and that is not submitted.
func (p *packer) giveBack(b *block) {
	b.release()
	<-p.slots
}
