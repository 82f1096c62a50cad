package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/store"
)

// Audit reads every object of the log, also those that are not needed any more, and says which are not as they must
// be. The newest checkpoint that counts must have been found good by Head or View before.
func (l *Log) Audit(ctx context.Context) ([]Ignored, error) {
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	defer l.release()
	if err := l.refresh(ctx); err != nil {
		return nil, err
	}
	a := &auditor{l: l, bad: l.ignored[:len(l.ignored):len(l.ignored)]}
	t := tree{}
	a.roots = append(a.roots, t.root())
	err := l.lines(ctx, l.head, l.pending, 0, func(_ int64, _ string, line []byte) error {
		h := leafHash(line)
		t = t.add(h)
		a.leaves, a.roots = append(a.leaves, h), append(a.roots, t.root())
		return nil
	})
	if err == nil && t.root() != l.head.Root {
		err = errVanished
	}
	if err != nil {
		return nil, fmt.Errorf("audit ledger %s: %w", l.c.Prefix, err)
	}
	var names []string
	err = l.c.Store.List(ctx, l.c.Prefix+"/", func(o store.Object) error { names = append(names, o.Name); return nil })
	if err == nil {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(auditsAtOnce)
		for _, name := range names {
			g.Go(func() error { return a.look(ctx, name) })
		}
		err = g.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("audit ledger %s: %w", l.c.Prefix, err)
	}
	slices.SortFunc(a.bad, func(x, y Ignored) int { return strings.Compare(x.Object, y.Object) })
	return slices.Compact(a.bad), nil
}

const auditsAtOnce = 8

type auditor struct {
	l      *Log
	leaves []tlog.Hash
	roots  []tlog.Hash // of the tree of 0, 1, 2 … leaves

	mu  sync.Mutex
	bad []Ignored
}

func (a *auditor) look(ctx context.Context, name string) error {
	rest := strings.TrimPrefix(name, a.l.c.Prefix+"/")
	var n uint64
	var err error
	switch {
	case scans(rest, "checkpoint/%012d", &n):
		err = a.checkpoint(ctx, name, n)
	case scans(rest, "bundle/%06d", &n):
		err = a.bundle(ctx, name, int64(n))
	default:
		err = &untrusted{errors.New("no object of the log is called that")}
	}
	var wrong *untrusted
	if errors.As(err, &wrong) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.bad = append(a.bad, Ignored{name, wrong.Error()})
		return nil
	}
	return err
}

// scans reads name, which must be exactly what format prints for n.
func scans(name, format string, n *uint64) bool {
	_, err := fmt.Sscanf(name, format, n)
	return err == nil && fmt.Sprintf(format, *n) == name
}

// checkpoint looks at one that is not newer than the head: newer ones are in bad already, or were made meanwhile.
func (a *auditor) checkpoint(ctx context.Context, name string, n uint64) error {
	if n > a.l.head.Number {
		return nil
	}
	object, err := store.ReadAll(ctx, a.l.c.Store, name, maxCheckpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its time had come
	}
	if err != nil {
		return err
	}
	c, tail, err := a.l.verify(object, n)
	if err != nil {
		return &untrusted{err}
	}
	if c.Size >= int64(len(a.roots)) || a.roots[c.Size] != c.Root {
		return &untrusted{errors.New("it signs other leaves than the newest checkpoint: it is on a fork that does not count")}
	}
	for i, line := range tail {
		if leafHash(line) != a.leaves[c.Size-int64(len(tail))+int64(i)] {
			return &untrusted{fmt.Errorf("leaf %d behind it is not the one that it signs", c.Size-int64(len(tail))+int64(i))}
		}
	}
	return nil
}

// bundle looks at one that the head does not rely on: the others have just been read.
func (a *auditor) bundle(ctx context.Context, name string, i int64) error {
	start := i * bundleLeaves
	if start < a.l.head.Size-int64(len(a.l.pending)) {
		return nil
	}
	if start+bundleLeaves > a.l.head.Size {
		return &untrusted{errors.New("no checkpoint covers leaves that would be in it")}
	}
	b, err := store.ReadAll(ctx, a.l.c.Store, name, maxBundle)
	if err != nil {
		return err
	}
	first := start - (a.l.head.Size - int64(len(a.l.pending)))
	if !bytes.Equal(b, joinLines(a.l.pending[first:first+bundleLeaves])) {
		return &untrusted{errors.New("it holds other leaves than the newest checkpoint")}
	}
	return nil
}
