package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/backstaydb/backstay/internal/zstd"
)

// frameCache keeps the frames of a segment that were read last. One who reads on gets the next ones fetched ahead,
// each time more of them, until they have readAhead bytes.
type frameCache struct {
	u     *unsealer
	index *segmentIndex
	edge  int // frames before it have a condensed file: who reads that needs none behind it

	mu        sync.Mutex
	loads     []*load // newest last
	window    int     // frames that the next load ahead takes
	closed    bool
	ctx       context.Context // of loads: a caller that gives up does not take another's frames away
	cancel    context.CancelFunc
	running   sync.WaitGroup
	lastEntry int
}

// load is a stretch of frames that is fetched with one request.
type load struct {
	first, count int
	frames       [][]byte
	errs         []error // why a frame is not there; others of the load may be
	err          error   // why none is there from some frame on
	done         chan struct{}
}

// frame is the one at place i, once done is closed.
func (l *load) frame(i int) ([]byte, error) {
	switch {
	case l.frames[i] != nil:
		return l.frames[i], nil
	case l.errs[i] != nil:
		return nil, l.errs[i]
	}
	return nil, l.err
}

// failed reports whether any frame is missing.
func (l *load) failed() bool { return l.err != nil || errors.Join(l.errs...) != nil }

const (
	readAhead = 8 << 20 // plain bytes of one load, at most
	maxLoads  = 3       // of them are kept
)

func newFrameCache(u *unsealer, index *segmentIndex) *frameCache {
	ctx, cancel := context.WithCancel(context.Background())
	return &frameCache{u: u, index: index, window: 1, ctx: ctx, cancel: cancel, lastEntry: -1}
}

// get gives frame k. Callers do not change it.
func (c *frameCache) get(ctx context.Context, k int) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, fmt.Errorf("read %s: %w", c.u.src.Name, fs.ErrClosed)
	}
	l := c.find(k)
	if l == nil {
		l = c.miss(k)
	}
	// Half way through a load that was itself a step ahead, the next one is begun.
	if next := l.first + l.count; next != c.edge && c.window > 1 && k-l.first >= l.count/2 && c.find(next) == nil {
		c.start(next)
	}
	c.mu.Unlock()
	select {
	case <-l.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return l.frame(k - l.first)
}

func (c *frameCache) find(k int) *load {
	for _, l := range c.loads {
		if k >= l.first && k < l.first+l.count {
			return l
		}
	}
	return nil
}

// miss begins to load frame k. It is a step ahead if it follows what was loaded last or is where reading begins.
func (c *frameCache) miss(k int) *load {
	ahead := k == 0
	if n := len(c.loads); n > 0 {
		last := c.loads[n-1]
		ahead = k == last.first+last.count
	}
	if !ahead {
		c.window = 1
	}
	return c.start(k)
}

// start loads a window of frames from k on, and doubles the window for the next; nil at the end.
func (c *frameCache) start(k int) *load {
	frames := c.index.frames
	n, total := 0, len(frames)-1
	if k < c.edge {
		total = c.edge
	}
	for k+n < total && n < c.window && (n == 0 || frames[k+n+1].plain-frames[k].plain <= readAhead) {
		n++
	}
	if n == 0 {
		return nil
	}
	c.window = min(2*c.window, 64)
	l := &load{first: k, count: n, frames: make([][]byte, n), errs: make([]error, n), done: make(chan struct{})}
	if len(c.loads) == maxLoads {
		c.loads = append(c.loads[:0], c.loads[1:]...)
	}
	c.loads = append(c.loads, l)
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		defer close(l.done)
		if l.err = c.read(l); l.failed() {
			c.forget(l)
		}
	}()
	return l
}

// forget drops a load that failed, so that the next reader tries again.
func (c *frameCache) forget(l *load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.loads {
		if c.loads[i] == l {
			c.loads = append(c.loads[:i], c.loads[i+1:]...)
			return
		}
	}
}

// read fetches the frames of l with one request and decodes them, two at a time. Its error is that of the fetching.
func (c *frameCache) read(l *load) error {
	spans := c.index.frames[l.first : l.first+l.count+1]
	from := spans[0].stored
	in, err := c.u.open(c.ctx, from, spans[l.count].stored-from)
	if err != nil {
		return err
	}
	defer in.Close()
	turns := make(chan struct{}, 2)
	var decoding sync.WaitGroup
	for i := range l.count {
		packed := make([]byte, spans[i+1].stored-spans[i].stored)
		if _, err = io.ReadFull(in, packed); err != nil {
			err = passCorrupt(c.u.src.Name, err, spans[i].stored)
			break
		}
		turns <- struct{}{}
		decoding.Go(func() {
			if l.errs[i] = c.verify(packed, l.first+i); l.errs[i] == nil {
				l.frames[i], l.errs[i] = c.decode(packed, spans[i], spans[i+1])
			}
			<-turns
		})
	}
	decoding.Wait()
	return err
}

// verify compares the stored bytes of frame k with what the index says of them, if it says something.
func (c *frameCache) verify(packed []byte, k int) error {
	if c.index.digests == nil {
		return nil
	}
	if got := blake3.Sum256(packed); got != c.index.digests[k] {
		return &CorruptError{Object: c.u.src.Name, Detail: fmt.Sprintf("digest of the frame at %d", c.index.frames[k].stored),
			Want: fmt.Sprintf("%x", c.index.digests[k]), Got: fmt.Sprintf("%x", got)}
	}
	return nil
}

// decoders are shared by all segments: one for each that is at work.
var decoders = sync.Pool{New: func() any { return zstd.NewDecoder() }}

func (c *frameCache) decode(packed []byte, at, end span) ([]byte, error) {
	d := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(d)
	want := int(end.plain - at.plain)
	frame, err := d.Decode(make([]byte, 0, want), packed, want)
	if err != nil || len(frame) != want {
		return nil, corrupt(c.u.src.Name, err, "the frame at %d cannot be decoded to %d bytes", at.stored, want)
	}
	return frame, nil
}

func (c *frameCache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
}
