// Package scratch keeps throwaway folders: restored data that is looked at and then removed.
//
// Each folder has an owner file beside it, "backstay-scratch-NAME.owner", which the process that made it holds locked
// for as long as it lives. The lock ends with the process, however it ends, so whoever comes next finds what a crash
// left behind and sweeps it. Nothing is removed that has no such owner file, and nothing whose owner lives. A folder that
// is lent to a child belongs to both.
package scratch

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gofrs/flock"
)

const (
	prefix      = "backstay-scratch-"
	ownerSuffix = ".owner"
	magic       = "backstay scratch v0\n"
)

// Dir is one throwaway folder.
type Dir struct {
	path  string
	owner string
	lock  *flock.Flock

	once sync.Once
	err  error
}

// New sweeps root and makes a folder in it that only this user can enter. root is made if it is not there. A sweep
// that fails does not stop it: what could not be removed is tried again next time.
func New(root string) (*Dir, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	// Sweeping is a service to a process that died; its failure is no reason to refuse this one.
	_, _ = Sweep(root)
	for {
		d, err := create(root)
		if err != nil {
			return nil, fmt.Errorf("make scratch folder: %w", err)
		}
		if d != nil {
			return d, nil
		}
	}
}

// create makes one folder; nil if a sweeper was faster than the lock.
func create(root string) (*Dir, error) {
	name := filepath.Join(root, prefix+strings.ToLower(rand.Text()[:12]))
	owner := name + ownerSuffix
	text := fmt.Sprintf("%sprocess %d\n", magic, os.Getpid())
	if err := writeOwner(owner, text); err != nil {
		return nil, err
	}
	lock := flock.New(owner, flock.SetFlag(os.O_RDWR), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, os.Remove(owner))
	}
	if !locked {
		return nil, nil
	}
	if _, err := os.Stat(owner); err != nil {
		return nil, lock.Close()
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		return nil, errors.Join(err, lock.Close(), os.Remove(owner))
	}
	return &Dir{path: name, owner: owner, lock: lock}, nil
}

// writeOwner creates the owner file and leaves none behind that a sweeper would not know for ours.
func writeOwner(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Path is the folder.
func (d *Dir) Path() string { return d.path }

// Close removes the folder and all that is in it. What cannot be removed is left for the next sweep.
func (d *Dir) Close() error {
	d.once.Do(func() {
		if d.err = removeAll(d.path); d.err != nil {
			d.err = errors.Join(fmt.Errorf("remove scratch folder: %w", d.err), d.lock.Close())
			return
		}
		// Windows removes no file that is open; a sweeper that comes between finds nothing but the owner file.
		d.err = errors.Join(d.lock.Close(), ignoreMissing(os.Remove(d.owner)))
	})
	return d.err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
