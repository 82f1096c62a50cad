package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/store"
)

// maxTries is how often Append tries again because another writer was faster.
const maxTries = 200

var crowd = backoff.Policy{Min: 2 * time.Millisecond, Max: 500 * time.Millisecond, Factor: 1.5}

// saveInterval is how often appends are written to Memory.
const saveInterval = 5 * time.Second

// Change is what an append adds to a head.
type Change struct {
	Leaves []Leaf         // N and Time are set by Append
	Tips   []Tip          // all that stand from now on, not only new ones
	Whole  history.Moment // zero: as before
}

// Build makes the change from the head that it will stand on. It is called again with a newer head if another writer
// was faster, and after an append whose outcome is not known the same change may stand in the head already: it then
// returns ErrNoChange.
type Build func(head Checkpoint) (Change, error)

// Append adds what build makes. When it returns nil the change is durable and part of every later head. When it
// returns an error the change may still have been made; a later Build sees it.
func (l *Log) Append(ctx context.Context, build Build) (Checkpoint, error) {
	if l.c.Signer == nil {
		return Checkpoint{}, fmt.Errorf("append to ledger %s: opened for reading only", l.c.Prefix)
	}
	if err := l.take(ctx); err != nil {
		return Checkpoint{}, err
	}
	defer l.release()
	for try := range maxTries {
		done, err := l.attempt(ctx, build)
		if err != nil {
			l.fresh = time.Time{}
			return Checkpoint{}, err
		}
		if done {
			l.prune(ctx)
			return l.head, l.remember(l.head, saveInterval)
		}
		l.fresh = time.Time{}
		if err := backoff.Sleep(ctx, crowd.Delay(try, rand.Float64)); err != nil {
			return Checkpoint{}, fmt.Errorf("append to ledger %s: %w", l.c.Prefix, err)
		}
	}
	return Checkpoint{}, fmt.Errorf("append to ledger %s: other writers were faster %d times", l.c.Prefix, maxTries)
}

// Create begins the log with the leaves. It returns fs.ErrExist if the log was begun before.
func (l *Log) Create(ctx context.Context, change Change) (Checkpoint, error) {
	if l.c.Signer == nil {
		return Checkpoint{}, fmt.Errorf("create ledger %s: no signer is given", l.c.Prefix)
	}
	if err := l.take(ctx); err != nil {
		return Checkpoint{}, err
	}
	defer l.release()
	err := l.refresh(ctx)
	if err == nil {
		err = fs.ErrExist
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Checkpoint{}, fmt.Errorf("create ledger %s: %w", l.c.Prefix, err)
	}
	next, err := l.compose(change, tree{}, nil)
	if err != nil {
		return Checkpoint{}, err
	}
	won, err := l.claim(ctx, next)
	if err == nil && !won {
		err = fs.ErrExist
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("create ledger %s: %w", l.c.Prefix, err)
	}
	l.advance(next)
	return l.head, errors.Join(l.remember(l.head, 0), l.lockDue(ctx))
}

// attempt tries once; done says whether the change, or none, was needed and stands.
func (l *Log) attempt(ctx context.Context, build Build) (done bool, err error) {
	if l.stale() {
		if err := l.refresh(ctx); err != nil {
			return false, err
		}
	}
	if i, blocked := l.blocked(); blocked {
		return false, &BlockedError{Log: l.c.Prefix, Ignored: i}
	}
	change, err := build(l.head)
	if errors.Is(err, ErrNoChange) {
		return true, l.lockDue(ctx)
	}
	if err != nil {
		return false, err
	}
	rest, bundled, err := l.bundle(ctx)
	if err != nil {
		return false, fmt.Errorf("append to ledger %s: %w", l.c.Prefix, err)
	}
	next, err := l.compose(change, bundled, rest)
	if err != nil {
		return false, err
	}
	if !l.headStands(ctx) {
		return false, nil
	}
	won, err := l.claim(ctx, next)
	if err != nil || !won {
		return false, err
	}
	if l.stale() {
		// It took so long that the number may have been taken and deleted before. If so a higher one stands.
		if counted, err := l.counted(ctx, next); err != nil || !counted {
			return false, err
		}
	}
	l.advance(next)
	return true, l.lockDue(ctx)
}

// headStands reports whether the head is still in the store; if not, it is looked at again. A disk can be unmounted between two
// appends, and what then lies in its place takes objects as well: history would go on in the wrong folder. Only folders are asked,
// where it costs a system call.
func (l *Log) headStands(ctx context.Context) bool {
	if !l.c.Store.Properties().Local {
		return true
	}
	_, err := l.c.Store.Stat(ctx, l.checkpointName(l.head.Number))
	return !errors.Is(err, fs.ErrNotExist) // whatever else is wrong, the claim says so
}

// draft is a checkpoint in the making.
type draft struct {
	c       Checkpoint
	tree    tree
	bundled tree
	added   []Leaf
	pending [][]byte
	object  []byte
	began   time.Time
}

// compose builds the checkpoint that follows head; pending are the leaves of head that no bundle holds.
func (l *Log) compose(change Change, bundled tree, pending [][]byte) (*draft, error) {
	now := l.c.Now()
	d := &draft{tree: l.tree, bundled: bundled, pending: pending[:len(pending):len(pending)], began: now}
	for _, f := range change.Leaves {
		f.N, f.Time = d.tree.size, now.UTC().Truncate(time.Microsecond)
		line, err := f.line()
		if err != nil {
			return nil, err
		}
		d.tree = d.tree.add(leafHash(line))
		d.added = append(d.added, f)
		d.pending = append(d.pending, line)
	}
	d.c = Checkpoint{Origin: l.c.Origin, Number: max(l.head.Number, l.over) + 1, Size: d.tree.size, Root: d.tree.root(),
		Time: now.UTC().Truncate(time.Microsecond), Whole: l.head.Whole, Tips: change.Tips, Signer: l.c.Signer.Name()}
	if !change.Whole.Time.IsZero() {
		d.c.Whole = history.Moment{Position: change.Whole.Position, Time: change.Whole.Time.UTC()}
	}
	text, err := d.c.text()
	if err != nil {
		return nil, err
	}
	if d.c.Note, err = l.c.Signer.Sign(text); err != nil {
		return nil, err
	}
	d.object = joinCheckpoint(d.c.Note, d.pending)
	return d, nil
}

// claim creates the checkpoint and reports whether it is ours that stands.
func (l *Log) claim(ctx context.Context, d *draft) (won bool, err error) {
	name := l.checkpointName(d.c.Number)
	err = l.c.Store.Put(ctx, name, bytes.NewReader(d.object), int64(len(d.object)))
	killpoint.At(killpoint.LedgerCreated)
	if err == nil {
		return true, nil
	}
	// A try whose answer was lost may have made it, and a store that tries again by itself then finds it taken.
	stands, readErr := store.ReadAll(ctx, l.c.Store, name, maxCheckpoint)
	switch {
	case readErr == nil:
		return bytes.Equal(stands, d.object), nil
	case errors.Is(err, fs.ErrExist) && errors.Is(readErr, fs.ErrNotExist):
		return false, nil
	}
	return false, fmt.Errorf("append to ledger %s: %w", l.c.Prefix, err)
}

// counted reports whether the checkpoint that was just created is the newest.
func (l *Log) counted(ctx context.Context, d *draft) (bool, error) {
	numbers, err := l.list(ctx)
	if err != nil {
		return false, err
	}
	return len(numbers) > 0 && numbers[len(numbers)-1] == d.c.Number, nil
}

// advance makes the draft the head.
func (l *Log) advance(d *draft) {
	if len(d.added) > 0 {
		l.due = append(l.due, l.checkpointName(d.c.Number))
	}
	if l.head.Number > 0 {
		l.old = append(l.old, aged{l.head.Number, l.c.Now()})
	}
	l.head, l.tree, l.bundled, l.pending, l.fresh = d.c, d.tree, d.bundled, d.pending, d.began
	for _, f := range d.added {
		if l.c.Fold.Add(f) != nil {
			l.reset() // the leaf stands; the next look reads all anew and tells what is wrong
			l.head = d.c
			return
		}
	}
}

// Body encodes the body of a leaf or of a tip.
func Body(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode leaf body: %w", err)
	}
	return b, nil
}
