package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/store"
)

// List implements store.Store. A folder that does not exist holds nothing.
func (s *Store) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("list %q: %w", prefix, context.Cause(ctx))
	}
	root, err := os.OpenRoot(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %q: %w", prefix, bare(err))
	}
	defer root.Close()
	w := walk{ctx: ctx, prefix: prefix, visit: visit}
	return w.folder(root, "")
}

// walk is one List.
type walk struct {
	ctx    context.Context
	prefix string
	visit  func(store.Object) error
}

// folder visits what is in dir, whose objects' names begin with at.
func (w walk) folder(dir *os.Root, at string) error {
	entries, err := fs.ReadDir(dir.FS(), ".")
	if absent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %q: %w", at, bare(err))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		if w.ctx.Err() != nil {
			return fmt.Errorf("list %q: %w", w.prefix, context.Cause(w.ctx))
		}
		if err := w.entry(dir, at, e); err != nil {
			return err
		}
	}
	return nil
}

func (w walk) entry(dir *os.Root, at string, e fs.DirEntry) error {
	name := at + e.Name()
	switch {
	case store.ValidName(name) != nil:
		return nil
	case e.IsDir() && overlaps(name+"/", w.prefix):
		sub, err := dir.OpenRoot(e.Name())
		if absent(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list %q: %w", name, bare(err))
		}
		defer sub.Close()
		return w.folder(sub, name+"/")
	case !e.Type().IsRegular() || !strings.HasPrefix(name, w.prefix):
		return nil
	}
	info, err := dir.Lstat(e.Name())
	if absent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %q: %w", name, bare(err))
	}
	return w.visit(store.Object{Name: name, Size: info.Size(), Created: info.ModTime()})
}

// sortName orders folders among files as the names below them are ordered.
func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// overlaps tells whether names that begin with folder can begin with prefix.
func overlaps(folder, prefix string) bool {
	return strings.HasPrefix(folder, prefix) || strings.HasPrefix(prefix, folder)
}
