package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/store"
)

const (
	maxIgnored  = 64 // checkpoints that do not count above the one that does
	maxMismatch = 3  // checkpoints whose leaves do not fit their root, before the bundles are blamed
)

func (l *Log) checkpointName(n uint64) string {
	return fmt.Sprintf("%s/checkpoint/%012d", l.c.Prefix, n)
}

// refresh reads the newest checkpoint that counts, and the leaves up to it.
func (l *Log) refresh(ctx context.Context) error {
	if err := l.recall(); err != nil {
		return err
	}
	err := errVanished
	for try := 0; try < 5 && errors.Is(err, errVanished); try++ {
		err = l.readNewest(ctx)
	}
	return err
}

func (l *Log) readNewest(ctx context.Context) error {
	start := l.c.Now()
	numbers, err := l.list(ctx)
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return l.missing()
	}
	var ignored []Ignored
	strangers := map[string]*stranger{}
	var mismatches []error
	for _, n := range slices.Backward(numbers) {
		err := l.adopt(ctx, n)
		var bad *untrusted
		var corrupt *CorruptError
		var rollback *RollbackError
		switch {
		case err == nil:
			l.ignored, l.foreign, l.fresh = ignored, strangers, start
			return l.remember(l.head, 0)
		case errors.As(err, &rollback):
			rollback.Ignored = ignored
			return err
		case errors.As(err, &corrupt):
			if mismatches = append(mismatches, err); len(mismatches) == maxMismatch {
				return mismatches[0]
			}
		case !errors.As(err, &bad):
			return err
		}
		if f, ok := errors.AsType[*foreign](err); ok {
			strangers[l.checkpointName(n)] = &stranger{n, f.signed}
		}
		if ignored = append(ignored, Ignored{l.checkpointName(n), reason(err)}); len(ignored) == maxIgnored {
			break
		}
	}
	if len(mismatches) > 0 {
		return mismatches[0]
	}
	return &UntrustedError{Log: l.c.Prefix, Ignored: ignored}
}

func reason(err error) string {
	var c *CorruptError
	if errors.As(err, &c) {
		return c.Detail
	}
	return err.Error()
}

// missing is the error for a log without checkpoints.
func (l *Log) missing() error {
	if !l.seen.IsZero() {
		return &RollbackError{Log: l.c.Prefix, Seen: l.seen,
			Detail: fmt.Sprintf("it has no checkpoints, but number %d was seen before", l.seen.Number)}
	}
	return fmt.Errorf("read ledger %s: %w", l.c.Prefix, fs.ErrNotExist)
}

// list returns the numbers of all checkpoints in ascending order, and notes which are old.
func (l *Log) list(ctx context.Context) ([]uint64, error) {
	prefix := l.c.Prefix + "/checkpoint/"
	var numbers []uint64
	var objects []store.Object
	err := l.c.Store.List(ctx, prefix, func(o store.Object) error {
		digits := strings.TrimPrefix(o.Name, prefix)
		n, err := strconv.ParseUint(digits, 10, 64)
		if err == nil && n > 0 && len(digits) == 12 {
			numbers = append(numbers, n)
			objects = append(objects, o)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", l.c.Prefix, err)
	}
	l.noteAge(numbers, objects)
	return numbers, nil
}

// untrusted says why a checkpoint does not count.
type untrusted struct{ error }

func (e *untrusted) Unwrap() error { return e.error }

// adopt reads checkpoint n and makes it the head if it counts.
func (l *Log) adopt(ctx context.Context, n uint64) error {
	name := l.checkpointName(n)
	object, err := store.ReadAll(ctx, l.c.Store, name, maxCheckpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return errVanished
	}
	if err != nil {
		return fmt.Errorf("read ledger %s: %w", l.c.Prefix, err)
	}
	c, tail, err := l.verify(object, n)
	if err != nil {
		return &untrusted{err}
	}
	if err := l.seen.newer(l.c.Prefix, c); err != nil {
		return err
	}
	if err := l.extend(ctx, c, tail); err != nil {
		return err
	}
	l.head, l.pending = c, tail
	return nil
}

// Parse reads the object of checkpoint n and verifies its signature, not the leaves that it signs. It looks at no store; an error says
// why it does not count.
func (l *Log) Parse(object []byte, n uint64) (Checkpoint, error) {
	l.lock <- struct{}{}
	defer l.release()
	c, _, err := l.verify(object, n)
	return c, err
}

// verify reads the object of checkpoint n; an error says why it does not count.
func (l *Log) verify(object []byte, n uint64) (Checkpoint, [][]byte, error) {
	signed, tail, err := splitCheckpoint(object)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	text, signer, err := verifyNote(signed, l.known)
	if err != nil {
		return Checkpoint{}, nil, l.foreigner(signed, tail, n, err)
	}
	c, err := parseText(text)
	if err != nil {
		return c, nil, err
	}
	c.Signer, c.Note = signer, signed
	if err := l.fits(c, tail, n); err != nil {
		return c, nil, err
	}
	return c, tail, nil
}

// fits reports why a checkpoint is not number n of this log.
func (l *Log) fits(c Checkpoint, tail [][]byte, n uint64) error {
	switch bundled := c.Size - int64(len(tail)); {
	case c.Origin != l.c.Origin:
		return fmt.Errorf("it belongs to %q", c.Origin)
	case c.Number != n:
		return fmt.Errorf("it is a copy of checkpoint %d", c.Number)
	case bundled < 0 || bundled%bundleLeaves != 0:
		return fmt.Errorf("it has %d leaves behind it, which do not fit its size of %d", len(tail), c.Size)
	}
	return nil
}

// extend folds the leaves that c has more than the tree, and proves that they, and all before them, are the ones
// that c signs and that were seen. Leaves that no bundle held are hashed again, since c brings its own copy of them.
func (l *Log) extend(ctx context.Context, c Checkpoint, tail [][]byte) error {
	boundary := c.Size - int64(len(tail))
	if c.Size < l.tree.size || boundary < l.bundled.size {
		l.reset() // seen.newer has made sure that no checkpoint which counted was larger
	}
	t, bundled, rewritten := l.bundled, l.bundled, false
	err := l.lines(ctx, c, tail, t.size, func(n int64, object string, line []byte) error {
		t = t.add(leafHash(line))
		rewritten = rewritten || t.size == l.seen.Size && t.root() != l.seen.Root
		if t.size == boundary {
			bundled = t
		}
		if n < l.tree.size {
			return nil
		}
		f, err := parseLeaf(line, n)
		if err != nil {
			return &CorruptError{Object: object, Detail: err.Error()}
		}
		if err := l.c.Fold.Add(f); err != nil {
			return &CorruptError{Object: object, Detail: err.Error()}
		}
		return nil
	})
	if err == nil && t.root() != c.Root {
		err = &CorruptError{Object: l.checkpointName(c.Number), Want: c.Root.String(), Got: t.root().String(),
			Detail: "its leaves, or those in the bundles, are not the ones that it signs: root hash"}
	}
	if err == nil && rewritten {
		err = l.seen.rewritten(l.c.Prefix, c)
	}
	if err != nil {
		l.reset()
		return err
	}
	l.tree, l.bundled = t, bundled
	return nil
}
