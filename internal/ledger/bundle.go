package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/store"
)

const (
	bundleLeaves = 256
	bundlesAhead = 8 // bundles that are read at once
	maxBundle    = bundleLeaves * (maxLeaf + 1)
)

func (l *Log) bundleName(i int64) string { return fmt.Sprintf("%s/bundle/%06d", l.c.Prefix, i) }

// lines gives visit the leaves of c from number from on, from the bundles and then from tail, and the object that each
// lies in.
func (l *Log) lines(ctx context.Context, c Checkpoint, tail [][]byte, from int64, visit func(n int64, object string, line []byte) error) error {
	bundled := c.Size - int64(len(tail))
	n := from
	for n < bundled {
		first := n / bundleLeaves
		read, err := l.readBundles(ctx, first, min(first+bundlesAhead, bundled/bundleLeaves))
		if err != nil {
			return err
		}
		for i, lines := range read {
			for _, line := range lines[n%bundleLeaves:] {
				if err := visit(n, l.bundleName(first+int64(i)), line); err != nil {
					return err
				}
				n++
			}
		}
	}
	for ; n < c.Size; n++ {
		if err := visit(n, l.checkpointName(c.Number), tail[n-bundled]); err != nil {
			return err
		}
	}
	return nil
}

// readBundles reads the bundles first to end, without end, at once.
func (l *Log) readBundles(ctx context.Context, first, end int64) ([][][]byte, error) {
	read := make([][][]byte, end-first)
	g, ctx := errgroup.WithContext(ctx)
	for i := range read {
		g.Go(func() (err error) {
			read[i], err = l.readBundle(ctx, first+int64(i))
			return err
		})
	}
	return read, g.Wait()
}

func (l *Log) readBundle(ctx context.Context, i int64) ([][]byte, error) {
	name := l.bundleName(i)
	b, err := store.ReadAll(ctx, l.c.Store, name, maxBundle)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptError{Object: name, Detail: "it is missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", l.c.Prefix, err)
	}
	lines, err := splitLines(b)
	if err != nil || len(lines) != bundleLeaves {
		return nil, &CorruptError{Object: name, Detail: fmt.Sprintf("it does not hold %d whole lines", bundleLeaves)}
	}
	return lines, nil
}

// bundle puts the leaves of head that fill bundles into bundles and returns the rest, and the tree of what bundles
// hold then. They stand in a checkpoint that counts, so that every writer who comes to do it writes the same bytes.
func (l *Log) bundle(ctx context.Context) (rest [][]byte, bundled tree, err error) {
	rest, bundled = l.pending, l.bundled
	for len(rest) >= bundleLeaves {
		if err := l.putBundle(ctx, l.bundleName(bundled.size/bundleLeaves), joinLines(rest[:bundleLeaves])); err != nil {
			return nil, tree{}, err
		}
		l.due = append(l.due, l.bundleName(bundled.size/bundleLeaves))
		for _, line := range rest[:bundleLeaves] {
			bundled = bundled.add(leafHash(line))
		}
		rest = rest[bundleLeaves:]
		killpoint.At(killpoint.LedgerBundled)
	}
	return rest, bundled, nil
}

func (l *Log) putBundle(ctx context.Context, name string, content []byte) error {
	err := l.c.Store.Put(ctx, name, bytes.NewReader(content), int64(len(content)))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	old, err := store.ReadAll(ctx, l.c.Store, name, maxBundle)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, content) {
		return &CorruptError{Object: name, Detail: "a bundle with other leaves stands here already"}
	}
	return nil
}
