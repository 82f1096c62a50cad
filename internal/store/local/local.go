// Package local keeps objects as files in a folder.
//
// An object is written to a temporary file in the folder's .tmp, synced, moved to its name by a call that never
// replaces, and the folders are synced: so it is whole or not there, also after a power failure, and of two processes
// that create one name one wins. Names that begin with a dot are not objects. No symbolic link leads out of the
// folder. Temporary files that a crash left are removed a day later, by the next process that writes.
//
// The folder need not exist before the first Put. It is looked up anew by every call, so that a disk that is mounted
// later, or again, is found. A process that has written to it writes no more when it is gone, or when another and empty
// one lies in its place: that is the mount point of a disk that was unmounted.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/backstaydb/backstay/internal/store"
)

// Store is a store.Store and a store.Filer in a folder. Use New or Open.
type Store struct {
	dir    string
	create func(root *os.Root, temp string, large bool) (writer, error)

	mu    sync.Mutex
	known map[string]bool // folders below dir whose own names are durable
	swept bool            // .tmp was cleaned by this process
	root  fs.FileInfo     // of dir, when it was last written to; nil before
}

// New returns the store in dir. It does not touch dir.
func New(dir string) *Store {
	return &Store{dir: dir, create: createTemp, known: map[string]bool{}}
}

// Open returns the store in dir, after a look at whether dir is, or can become, a folder.
func Open(_ context.Context, dir string) (*Store, error) {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return nil, fmt.Errorf("open store %s: %w", dir, syscall.ENOTDIR)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open store %s: %w", dir, bare(err))
	}
	return New(dir), nil
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	f, err := s.open(ctx, name, offset, length)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, bare(err))
	}
	if length < 0 {
		length = 1<<63 - 1 - offset
	}
	return &reader{Reader: store.Input(ctx, io.NewSectionReader(f, offset, length), -1), Closer: f}, nil
}

type reader struct {
	io.Reader
	io.Closer
}

func (s *Store) open(ctx context.Context, name string, offset, length int64) (*os.File, error) {
	root, _, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := store.ValidRange(offset, length); err != nil {
		return nil, err
	}
	return root.Open(filepath.FromSlash(name))
}

// Stat implements store.Store. Created is when the file was written.
func (s *Store) Stat(ctx context.Context, name string) (store.Object, error) {
	root, info, err := s.find(ctx, name)
	if err != nil {
		return store.Object{}, fmt.Errorf("stat %s: %w", name, bare(err))
	}
	return store.Object{Name: name, Size: info.Size(), Created: info.ModTime()}, root.Close()
}

// Path implements store.Filer.
func (s *Store) Path(name string) (string, error) {
	root, _, err := s.find(context.Background(), name)
	if err != nil {
		return "", fmt.Errorf("find file of %s: %w", name, bare(err))
	}
	return filepath.Join(s.dir, filepath.FromSlash(name)), root.Close()
}

// Delete implements store.Store. Folders that it leaves empty go too.
func (s *Store) Delete(ctx context.Context, name string) error {
	root, _, err := s.find(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", name, bare(err))
	}
	defer root.Close()
	if err := root.Remove(filepath.FromSlash(name)); err != nil && !absent(err) {
		return fmt.Errorf("delete %s: %w", name, bare(err))
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		s.forget(dir)
		if root.Remove(filepath.FromSlash(dir)) != nil {
			break
		}
	}
	return nil
}

// Properties implements store.Store.
func (s *Store) Properties() store.Properties {
	return store.Properties{ConditionalCreate: true, Local: true, TipInterval: 250 * time.Millisecond}
}

// String implements store.Store: the folder as it was given.
func (s *Store) String() string { return s.dir }

// find returns the folder, to be closed, and the file that holds the object. What is no plain file is no object.
func (s *Store) find(ctx context.Context, name string) (*os.Root, fs.FileInfo, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if err := store.ValidName(name); err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, nil, err
	}
	info, err := root.Lstat(filepath.FromSlash(name))
	if absent(err) || err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	return root, info, nil
}

// absent tells whether err says that a name, or a folder on the way to it, is not there.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// bare takes the system's own wording of the path off err: the caller names the object. Errors of the caller's own
// reader stay as they are.
func bare(err error) error {
	if _, ok := errors.AsType[*store.InputError](err); ok {
		return err
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		err = l.Err
	}
	return full(err)
}
