package local

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

const (
	tempDir = ".tmp"
	tempAge = 24 * time.Hour // younger temporary files may belong to a process at work
)

// prepare opens the folder for writing: it makes what is missing and, once in a process, removes old temporary files.
func (s *Store) prepare() (*os.Root, error) {
	if err := s.stands(); err != nil {
		return nil, err
	}
	if err := makeRoot(s.dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	if err := s.recognize(root); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := root.Mkdir(tempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, errors.Join(err, root.Close())
	}
	s.mu.Lock()
	first := !s.swept
	s.swept = true
	s.mu.Unlock()
	if first {
		sweep(root, time.Now().Add(-tempAge))
	}
	return root, nil
}

// stands fails if a folder that was written to before is not there any more.
func (s *Store) stands() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == nil {
		return nil
	}
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return &goneError{s.dir, "is gone"}
	}
	return nil
}

// recognize fails if an empty folder lies in the place of the one that was written to before.
func (s *Store) recognize(root *os.Root) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil && !os.SameFile(s.root, info) {
		entries, err := fs.ReadDir(root.FS(), ".")
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != tempDir && e.Name() != "lost+found" }) {
			return &goneError{s.dir, "is another one than before, and empty"}
		}
		clear(s.known)
	}
	s.root = info
	return nil
}

// makeRoot makes dir and its missing parents, and their names durable.
func makeRoot(dir string) error {
	var missing []string
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			break
		}
		missing = append(missing, d)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range missing {
		if err := atomicfile.SyncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes temporary files older than before. What cannot be removed is somebody else's worry.
func sweep(root *os.Root, before time.Time) {
	entries, err := fs.ReadDir(root.FS(), tempDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := filepath.Join(tempDir, e.Name())
		if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			_ = root.Remove(name)
		}
	}
}

// publish moves the synced file temp to name, unless that is taken, and makes the name durable.
func (s *Store) publish(root *os.Root, temp, name string) error {
	dir := path.Dir(name)
	err := fs.ErrNotExist
	// A Delete beside us may take the folder away between the two steps, as it was empty.
	for try := 0; try < 10 && errors.Is(err, fs.ErrNotExist); try++ {
		if err = s.makeDirs(root, dir); err == nil {
			err = move(root, temp, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			s.forget(dir)
		}
	}
	if err != nil {
		return err
	}
	if err := syncDir(root, dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeDirs makes dir and the folders above it, and their names durable: once, not with every object.
func (s *Store) makeDirs(root *os.Root, dir string) error {
	if dir == "." || s.knows(dir) {
		return nil
	}
	if err := s.makeDirs(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := root.Mkdir(filepath.FromSlash(dir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := syncDir(root, path.Dir(dir)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[dir] = true
	return nil
}

func (s *Store) knows(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[dir]
}

// forget says that dir, or a folder above it, may be gone.
func (s *Store) forget(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; dir != "."; dir = path.Dir(dir) {
		delete(s.known, dir)
	}
}

// linkTo moves temp to name by way of a hard link, which no file system lets replace a name.
func linkTo(root *os.Root, temp, name string) error {
	err := root.Link(filepath.FromSlash(temp), filepath.FromSlash(name))
	if err == nil {
		return root.Remove(filepath.FromSlash(temp))
	}
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		return &unfitError{bare(err)}
	}
	return err
}
