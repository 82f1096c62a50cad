// Package atomicfile writes small files that are either whole or not there, and are durable when a call returns nil.
//
// The order is always the same: write a temporary file beside the target, sync it, move it into place, sync the
// folder. A crash can leave a temporary file (its name begins with a dot and ends with ".tmp"), never half a target.
// The package knows nothing of what the files mean and takes no locks.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write puts data into path with permissions perm, replacing what is there. Readers see the old file or the new one.
func Write(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(temp)))
	}
	return SyncDir(filepath.Dir(path))
}

// CreateOnly puts data into path with permissions perm and never replaces a file: it returns fs.ErrExist, wrapped, if
// path is taken, also by another process at the same time.
func CreateOnly(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	if err := moveNew(temp, path); err != nil {
		return fmt.Errorf("create %s: %w", path, errors.Join(err, removeIfThere(temp)))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in dir durable. Windows has no such call and orders its metadata itself: there it does nothing.
func SyncDir(dir string) error {
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// writeTemp leaves data, synced, in a new file beside path and returns its name.
func writeTemp(path string, data []byte, perm fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	// Windows removes no open file, so the file is closed before the cleanup above.
	return f.Name(), errors.Join(err, f.Close())
}

// link moves temp to path by way of a hard link, which no file system lets replace a name.
func link(temp, path string) error {
	if err := os.Link(temp, path); err != nil {
		return err
	}
	return os.Remove(temp)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
