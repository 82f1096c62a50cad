package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/store"
)

// abortTimeout bounds the cleaning up after a base that was given up.
const abortTimeout = 2 * time.Minute

var (
	errExists   = errors.New("it exists")
	errAborted  = errors.New("object was given up")
	errNoParent = errors.New("it is not listed here, or was dropped meanwhile")
	errDropped  = errors.New("it was dropped here; what was left of it may be gone, so that it cannot be listed again")
)

// createFile begins an object of unknown size: a file where the store has files, else a Put that is fed.
func createFile(ctx context.Context, s store.Store, name string) (store.File, error) {
	if f, ok := s.(store.Filer); ok {
		return f.Create(ctx, name)
	}
	r, w := io.Pipe()
	p := &pipeFile{name: name, w: w, done: make(chan error, 1)}
	go func() {
		err := s.Put(ctx, name, r, -1)
		_ = r.CloseWithError(err) // so that a writer does not wait; it never fails itself
		p.done <- err
	}()
	return p, nil
}

// pipeFile is a store.File that feeds a Put. The goroutine of the Put ends with Commit or Abort.
type pipeFile struct {
	name  string
	w     *io.PipeWriter
	done  chan error
	ended bool
}

// Write implements io.Writer. It fails with the error of the Put.
func (p *pipeFile) Write(b []byte) (int, error) { return p.w.Write(b) }

// Commit implements store.File.
func (p *pipeFile) Commit(context.Context) error {
	if p.ended {
		return fmt.Errorf("commit %s: it has ended", p.name)
	}
	p.ended = true
	_ = p.w.Close() // never fails
	return <-p.done
}

// Abort implements store.File.
func (p *pipeFile) Abort() error {
	if p.ended {
		return nil
	}
	p.ended = true
	_ = p.w.CloseWithError(errAborted)
	if err := <-p.done; err == nil {
		return fmt.Errorf("abort %s: the store kept a part of it", p.name)
	}
	return nil
}

// countedFile counts what is written.
type countedFile struct {
	store.File
	bytes *atomic.Int64
}

func (c *countedFile) Write(p []byte) (int, error) {
	n, err := c.File.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c *countedFile) Commit(ctx context.Context) error {
	err := c.File.Commit(ctx)
	killpoint.At(killpoint.BasePack)
	return err
}
