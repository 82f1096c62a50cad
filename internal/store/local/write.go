package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/store"
)

// largeSize is from where a Put goes past the page cache, in bytes.
const largeSize = 1 << 20

// writer is a temporary file.
type writer interface {
	io.WriteCloser
	Sync() error
}

func createTemp(root *os.Root, temp string, large bool) (writer, error) {
	if large {
		return directio.CreateIn(root, temp, 0o600)
	}
	return root.OpenFile(filepath.FromSlash(temp), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if _, err := s.Stat(ctx, name); err == nil {
		return fmt.Errorf("put %s: %w", name, fs.ErrExist)
	}
	f, err := s.begin(ctx, name, size < 0 || size >= largeSize)
	if err != nil {
		return fmt.Errorf("put %s: %w", name, bare(err))
	}
	if _, err := io.Copy(f.w, store.Input(ctx, r, size)); err != nil {
		return fmt.Errorf("put %s: %w", name, errors.Join(bare(err), f.Abort()))
	}
	if err := f.commit(ctx); err != nil {
		return fmt.Errorf("put %s: %w", name, bare(err))
	}
	return nil
}

// Create implements store.Filer.
func (s *Store) Create(ctx context.Context, name string) (store.File, error) {
	f, err := s.begin(ctx, name, true)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, bare(err))
	}
	return f, nil
}

func (s *Store) begin(ctx context.Context, name string, large bool) (*file, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := store.ValidName(name); err != nil {
		return nil, err
	}
	root, err := s.prepare()
	if err != nil {
		return nil, err
	}
	temp := path.Join(tempDir, rand.Text())
	w, err := s.create(root, temp, large)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &file{s: s, root: root, name: name, temp: temp, w: w}, nil
}

// file is a store.File: a temporary file on its way to its name.
type file struct {
	s    *Store
	root *os.Root
	name string
	temp string
	w    writer
	done bool
}

// Write implements io.Writer.
func (f *file) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		return n, fmt.Errorf("write %s: %w", f.name, bare(err))
	}
	return n, nil
}

// Commit implements store.File. When it fails nothing is left.
func (f *file) Commit(ctx context.Context) error {
	if err := f.commit(ctx); err != nil {
		return fmt.Errorf("commit %s: %w", f.name, bare(err))
	}
	return nil
}

func (f *file) commit(ctx context.Context) error {
	if f.done {
		return fs.ErrClosed
	}
	err := f.w.Sync()
	if err == nil {
		// Windows moves no open file.
		err = f.w.Close()
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = f.s.publish(f.root, f.temp, f.name)
	}
	if err != nil {
		return errors.Join(err, f.Abort())
	}
	f.done = true
	return f.root.Close()
}

// Abort implements store.File.
func (f *file) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	// Closing writes what is left, which fails again on a full disk, or has been done: neither matters any more.
	_ = f.w.Close()
	err := f.root.Remove(filepath.FromSlash(f.temp))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.root.Close())
}
