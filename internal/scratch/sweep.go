package scratch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// Sweep removes the folders in root whose owners are gone, and returns their paths. It goes on after an error.
func Sweep(root string) (removed []string, err error) {
	owners, err := filepath.Glob(filepath.Join(globQuote(root), prefix+"*"+ownerSuffix))
	if err != nil {
		return nil, fmt.Errorf("sweep scratch: %w", err)
	}
	var failed error
	for _, owner := range owners {
		gone, err := sweep(owner)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("sweep scratch: %w", err))
		} else if gone {
			removed = append(removed, strings.TrimSuffix(owner, ownerSuffix))
		}
	}
	return removed, failed
}

// globQuote keeps the special characters of a path from being read as a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`[`, `[[]`, `*`, `[*]`, `?`, `[?]`).Replace(path)
}

func sweep(owner string) (gone bool, err error) {
	lock := flock.New(owner, flock.SetFlag(os.O_RDWR))
	locked, err := lock.TryLock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !locked {
		return false, err
	}
	defer lock.Close()
	text, err := os.ReadFile(owner)
	if err != nil || !bytes.HasPrefix(text, []byte(magic)) {
		return false, ignoreMissing(err)
	}
	if err := removeAll(strings.TrimSuffix(owner, ownerSuffix)); err != nil {
		return false, err
	}
	return true, errors.Join(lock.Close(), ignoreMissing(os.Remove(owner)))
}

// removeAll removes a tree, also where restored folders may not be written to.
func removeAll(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d == nil || !d.IsDir() {
			return nil
		}
		// WalkDir reads a folder after it was visited, so a folder made readable here can be walked.
		return os.Chmod(p, 0o700)
	})
	return errors.Join(err, os.RemoveAll(path))
}
