package recovery

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// clear removes all that is in the folder, the marker last, and gives the lock on it up.
func (f *folder) clear() (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, f.release())
		}
	}()
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == Marker {
			continue
		}
		if err := removeAll(root, e.Name()); err != nil {
			return err
		}
	}
	// Windows removes no file that is open.
	if err := f.release(); err != nil {
		return err
	}
	return root.Remove(Marker)
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
