// Package file keeps documents in a folder of one host, for a cluster without coordination: one host decides.
//
// Each version is a file of its own, key.revision, made by a creation that never replaces, so that two processes can't both
// make the same version; the highest counts. Versions that were replaced are removed later. The folder must be local: over a network
// file system "create only" may mean less.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/lease"
)

// keep is how many replaced versions stay, for people to look at.
const keep = 16

// every is how often a watch looks.
const every = 50 * time.Millisecond

// Store is a lease.Store in a folder.
type Store struct{ dir string }

// Open uses dir, which it makes if it is not there.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open lease folder: %w", err)
	}
	return &Store{dir: dir}, nil
}

func (s *Store) path(key string, revision uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s.%020d", key, revision))
}

// versions are the revisions of key that are there, ascending.
func (s *Store) versions(key string) ([]uint64, error) {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var all []uint64
	for _, n := range names { // sorted by name, and the numbers have one width
		digits, ok := strings.CutPrefix(n.Name(), key+".")
		if r, err := strconv.ParseUint(digits, 10, 64); ok && err == nil && len(digits) == 20 {
			all = append(all, r)
		}
	}
	return all, nil
}

func check(key string) error {
	if key == "" || strings.ContainsAny(key, `./\`) {
		return fmt.Errorf("key %q: want a plain name", key)
	}
	return nil
}

// Get implements lease.Store.
func (s *Store) Get(ctx context.Context, key string) (lease.Entry, error) {
	if err := errors.Join(ctx.Err(), check(key)); err != nil {
		return lease.Entry{}, err
	}
	for {
		all, err := s.versions(key)
		if err != nil || len(all) == 0 {
			return lease.Entry{}, err
		}
		newest := all[len(all)-1]
		value, err := os.ReadFile(s.path(key, newest))
		if errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
			continue // replaced so often meanwhile that it was removed
		}
		return lease.Entry{Value: value, Revision: newest}, err
	}
}

// Swap implements lease.Store.
func (s *Store) Swap(ctx context.Context, key string, from uint64, value []byte) (lease.Entry, error) {
	if err := errors.Join(ctx.Err(), check(key)); err != nil {
		return lease.Entry{}, err
	}
	if all, err := s.versions(key); err != nil {
		return lease.Entry{}, err
	} else if newest(all) != from {
		return lease.Entry{}, lease.ErrStale
	}
	err := atomicfile.CreateOnly(s.path(key, from+1), value, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return lease.Entry{}, lease.ErrStale
	} else if err != nil {
		return lease.Entry{}, fmt.Errorf("swap %s: %w", key, err)
	}
	return s.settle(key, lease.Entry{Value: value, Revision: from + 1})
}

// settle removes old versions. A writer that stood still since it looked may have made one that was removed long ago: it never counts,
// since a higher one is there. Whether it did can't be told from one whose version many others have replaced since, so it is told neither.
func (s *Store) settle(key string, mine lease.Entry) (lease.Entry, error) {
	all, err := s.versions(key)
	if err != nil {
		return lease.Entry{}, err
	}
	if newest(all) > mine.Revision+keep {
		return lease.Entry{}, fmt.Errorf("swap %s: too slow to know whether it was changed: read it again", key)
	}
	for _, r := range all {
		if r+keep < mine.Revision {
			if err := os.Remove(s.path(key, r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return lease.Entry{}, err
			}
		}
	}
	return mine, nil
}

func newest(all []uint64) uint64 {
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1]
}

// Watch implements lease.Store by looking.
func (s *Store) Watch(ctx context.Context, key string, from uint64, tell func(lease.Entry)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		e, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		if e.Revision > from {
			from = e.Revision
			tell(e)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Leads is always true: one host decides.
func (s *Store) Leads(ctx context.Context) (bool, error) { return true, ctx.Err() }

// Close has nothing to end.
func (s *Store) Close() error { return nil }
