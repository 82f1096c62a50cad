package postgres

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"sync"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
)

// Most files of a cluster are small, and a sink takes one after the other: reading each when its turn comes would wait
// for the disk thousands of times. So several are read at once, ahead of their turn.
const (
	smallFile    = 1 << 20 // bytes
	aheadWorkers = 4
	aheadFiles   = 8 // read and not yet taken
)

// small is a file that was read ahead of its turn.
type small struct {
	entry datadir.Entry
	size  int64  // when it was opened
	data  []byte // shorter than size if it was truncated meanwhile
	crc   uint32
	large bool // it is not small any more, and was not read
	gone  bool // it was removed
	err   error

	block *[]byte
	done  chan struct{}
}

var smallBlocks = sync.Pool{New: func() any { b := directio.Block(smallFile); return &b }}

// readAhead gives files in order, which several goroutines read. What it gave is valid until the next one.
func readAhead(ctx context.Context, c *datadir.Checker, files []datadir.Entry) iter.Seq[*small] {
	return func(yield func(*small) bool) {
		ctx, stop := context.WithCancel(ctx)
		work, order := make(chan *small), make(chan *small, aheadFiles)
		var group sync.WaitGroup
		defer group.Wait()
		defer stop()
		for range aheadWorkers {
			group.Go(func() {
				for f := range work {
					f.read(c)
					close(f.done)
				}
			})
		}
		group.Go(func() {
			defer close(order)
			defer close(work)
			for _, e := range files {
				f := &small{entry: e, done: make(chan struct{})}
				select {
				case order <- f:
				case <-ctx.Done():
					return
				}
				work <- f
			}
		})
		for f := range order {
			<-f.done
			more := yield(f)
			f.release()
			if !more {
				stop()
				for f := range order {
					<-f.done
					f.release()
				}
				return
			}
		}
	}
}

func (f *small) read(c *datadir.Checker) {
	in, err := c.Open(f.entry)
	if errors.Is(err, fs.ErrNotExist) {
		f.gone = true
		return
	}
	if err != nil {
		f.err = err
		return
	}
	defer in.Close()
	if f.size = in.Size(); f.size > smallFile {
		f.large = true
		return
	}
	f.block = smallBlocks.Get().(*[]byte)
	whole := (f.size + directio.Align - 1) / directio.Align * directio.Align
	n, err := in.ReadAt((*f.block)[:whole], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
		return
	}
	f.data = (*f.block)[:n]
	f.crc, f.err = in.CRC32C()
}

func (f *small) release() {
	if f.block != nil {
		smallBlocks.Put(f.block)
		f.block, f.data = nil, nil
	}
}
