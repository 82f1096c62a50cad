package recovery

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// moveUp moves what stands in the marker to its place.
func (f *folder) moveUp() error {
	entries, err := os.ReadDir(f.data())
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	if err := atomicfile.CreateOnly(filepath.Join(f.marker(), moveName), text, 0o600); err != nil {
		return err
	}
	for _, name := range names {
		place := filepath.Join(f.path, name)
		if _, err := os.Lstat(place); !errors.Is(err, fs.ErrNotExist) {
			return &NotEmptyError{Dir: f.path, Name: name}
		}
		if err := moveOne(filepath.Join(f.data(), name), place); err != nil {
			return err
		}
	}
	return nil
}

// moveOne renames. A folder that may not be written to can change its parent only while it may.
func moveOne(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm()&0o200 != 0 {
		return os.Rename(from, to)
	}
	if err := os.Chmod(from, info.Mode().Perm()|0o200); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode().Perm())
}

// moved lists what has been moved up: the names that were to be and are in data no longer.
func (f *folder) moved() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(f.marker(), moveName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(f.data(), name))
		return !errors.Is(err, fs.ErrNotExist) || !filepath.IsLocal(name)
	}), nil
}

// clear removes what was restored and last the marker, and gives the lock on it up. What somebody else put into the
// folder meanwhile stays.
func (f *folder) clear() error {
	names, err := f.moved()
	if err != nil {
		return errors.Join(err, f.release())
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return errors.Join(err, f.release())
	}
	defer root.Close()
	for _, name := range names {
		if err := removeAll(root, name); err != nil {
			return errors.Join(err, f.release())
		}
	}
	// The mark goes last, so that a crash leaves one that says whose it is.
	for _, name := range []string{dataName, moveName} {
		if err := removeAll(root, filepath.Join(Marker, name)); err != nil {
			return errors.Join(err, f.release())
		}
	}
	// Windows removes no file that is open.
	if err := f.release(); err != nil {
		return err
	}
	return removeAll(root, Marker)
}

// removeAll removes a tree, also where restored folders may not be written to.
func removeAll(root *os.Root, name string) error {
	if err := root.RemoveAll(name); err == nil {
		return nil
	}
	info, err := root.Lstat(name)
	if err != nil || !info.IsDir() {
		return err
	}
	if err := root.Chmod(name, 0o700); err != nil {
		return err
	}
	sub, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	entries, err := fs.ReadDir(sub.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := removeAll(sub, e.Name()); err != nil {
			return err
		}
	}
	return root.RemoveAll(name)
}

// syncTree syncs files first and then the folders that name them.
func syncTree(path string) error {
	var folders []string
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			folders = append(folders, p)
			return nil
		case d.Type().IsRegular():
			return syncFile(p)
		default:
			return nil
		}
	})
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		err = atomicfile.SyncDir(folders[i])
	}
	return err
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(path)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
