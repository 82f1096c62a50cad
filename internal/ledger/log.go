package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/backstaydb/backstay/internal/store"
)

// Config says which log, and who reads and writes it.
type Config struct {
	Store     store.Store
	Prefix    string           // of the log's objects: "app/ledger"
	Origin    string           // whose log it is; checkpoints of another origin do not count
	Signer    *Signer          // nil: read only
	Verifiers []string         // keys whose signature counts, besides Signer's own
	Fold      Fold             // told of every leaf; nil: nobody is
	Memory    Memory           // what this host saw last; nil: nothing is remembered
	Now       func() time.Time // nil: time.Now

	// Lock is called for the objects that leaves stand in: bundles, and checkpoints that add leaves. A checkpoint that moves
	// nothing but tips and time is not worth it: four a second may come. nil: nothing is locked.
	Lock func(ctx context.Context, object string) error
}

// Fold takes the leaves in order, each once. Its methods are called while the Log is locked. After Reset everything
// begins again at leaf 0; what was added since the last call of a Build or of a View may turn out to be forged, and is
// then followed by Reset.
type Fold interface {
	Reset()
	Add(Leaf) error
}

// Memory keeps the last checkpoint that a host verified.
type Memory interface {
	Load() (Seen, bool, error)
	Save(Seen) error
}

// Log is one transparency log. It is safe for concurrent use; one caller at a time is at the store. Use Open.
type Log struct {
	c     Config
	known note.Verifiers

	trusted []note.Verifier // the same as a list
	lock    chan struct{}   // holds one token while the Log is in use

	head    Checkpoint
	tree    tree // of all leaves of head
	bundled tree // of those that bundles hold
	pending [][]byte
	ignored []Ignored            // above head
	foreign map[string]*stranger // those of ignored that somebody else put there, by object
	over    uint64               // the highest of them that is passed over
	fresh   time.Time            // when head was the newest; zero: it must be read

	seen    Seen // of this host and of this Log
	loaded  bool // seen was read from Memory
	kept    bool // Memory holds one of this log
	savedAt time.Time

	due    []string // objects that are to be locked
	old    []aged   // checkpoints that are to be deleted
	pruned time.Time
}

// Open returns the log; it does not look at the store yet.
func Open(c Config) (*Log, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Fold == nil {
		c.Fold = noFold{}
	}
	l := &Log{c: c, lock: make(chan struct{}, 1)}
	return l, l.trust(c.Verifiers)
}

type noFold struct{}

func (noFold) Reset()         {}
func (noFold) Add(Leaf) error { return nil }

// Trust replaces the keys whose signature counts.
func (l *Log) Trust(ctx context.Context, verifiers []string) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.release()
	l.fresh = time.Time{}
	return l.trust(verifiers)
}

func (l *Log) trust(verifiers []string) error {
	all := verifiers
	if l.c.Signer != nil {
		all = append(all[:len(all):len(all)], l.c.Signer.Verifier())
	}
	known, err := parseVerifiers(all)
	if err != nil {
		return fmt.Errorf("open ledger %s: %w", l.c.Prefix, err)
	}
	l.known, l.trusted = note.VerifierList(known...), known
	return nil
}

// Head reads the newest checkpoint and verifies it. It is fs.ErrNotExist if the log was never begun.
func (l *Log) Head(ctx context.Context) (Checkpoint, error) {
	var head Checkpoint
	err := l.View(ctx, func(c Checkpoint, _ []Ignored) error { head = c; return nil })
	return head, err
}

// View reads and verifies the newest checkpoint and calls look, while the Log is locked and Fold stands exactly at it.
// ignored are the checkpoints above it that do not count.
func (l *Log) View(ctx context.Context, look func(head Checkpoint, ignored []Ignored) error) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.release()
	if err := l.refresh(ctx); err != nil {
		return err
	}
	return look(l.head, l.ignored)
}

// Peek is View without a look at the store, if there was one before.
func (l *Log) Peek(ctx context.Context, look func(head Checkpoint) error) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.release()
	if l.head.Number == 0 || l.tree.size != l.head.Size {
		if err := l.refresh(ctx); err != nil {
			return err
		}
	}
	return look(l.head)
}

// take locks the Log; it gives up when ctx ends.
func (l *Log) take(ctx context.Context) error {
	select {
	case l.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("use ledger %s: %w", l.c.Prefix, context.Cause(ctx))
	}
}

func (l *Log) release() { <-l.lock }

// remember notes that c was verified. Appends come four times a second, so they are written down at intervals. Where an
// older one stands in Memory, one that cannot be written is tried again the next time: what stands there is true as
// ever, and a full disk of this host must not stop what would empty its spool.
func (l *Log) remember(c Checkpoint, interval time.Duration) error {
	l.seen = c.Seen()
	if l.c.Memory == nil || l.c.Now().Sub(l.savedAt).Abs() < interval {
		return nil
	}
	if err := l.save(); err != nil && !l.kept {
		return err
	}
	return nil
}

// save writes down what was seen.
func (l *Log) save() error {
	if err := l.c.Memory.Save(l.seen); err != nil {
		return fmt.Errorf("remember checkpoint %d of %s: %w", l.seen.Number, l.c.Prefix, err)
	}
	l.kept, l.savedAt = true, l.c.Now()
	return nil
}

// Close writes down the last checkpoint seen, which remember may still hold back. The Log stays usable.
func (l *Log) Close() error {
	l.lock <- struct{}{}
	defer l.release()
	if l.c.Memory == nil || l.head.Number == 0 || l.seen.IsZero() {
		return nil
	}
	l.seen = l.head.Seen()
	return l.save()
}

// recall loads what this host saw, once.
func (l *Log) recall() error {
	if l.loaded || l.c.Memory == nil {
		return nil
	}
	seen, ok, err := l.c.Memory.Load()
	if err != nil {
		return fmt.Errorf("recall the last checkpoint of %s: %w", l.c.Prefix, err)
	}
	if ok {
		l.seen, l.kept = seen, true
	}
	l.loaded = true
	return nil
}

// reset forgets what was read, so that the next look begins at leaf 0.
func (l *Log) reset() {
	l.tree, l.bundled, l.head, l.pending, l.fresh = tree{}, tree{}, Checkpoint{}, nil, time.Time{}
	l.c.Fold.Reset()
}

// stale reports whether head must be read again before something is built on it. Checkpoints live for ten minutes at
// least, so within one minute no number can have been created and deleted again. A suspended machine shows only in
// the time of day, a clock that was set only in the monotonic one: both count.
func (l *Log) stale() bool {
	now := l.c.Now()
	return l.fresh.IsZero() || now.Sub(l.fresh).Abs() > freshFor || now.Round(0).Sub(l.fresh.Round(0)).Abs() > freshFor
}

const (
	freshFor = time.Minute      // how long a head counts as the newest without a look
	keepFor  = 10 * time.Minute // how long a checkpoint is kept after a newer one
)

var errVanished = errors.New("checkpoint was deleted meanwhile")
