package repository

import (
	"context"
	"errors"
	"slices"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
)

// Facts is what the ledger says of a source.
type Facts struct {
	History     history.History
	Head        ledger.Checkpoint
	Objects     []Object // all that count, by name
	Reports     []ReportRef
	Keys        KeyInfo
	Ignored     []ledger.Ignored // checkpoints above Head that do not count: damaged or forged
	StoredBytes int64            // of all that counts
	Dropped     int              // names that were listed once and dropped
}

// Facts reads the head and verifies it: its signature, the tree, and that it extends what this host saw before. It
// opens nothing else.
func (r *Repository) Facts(ctx context.Context) (Facts, error) {
	var facts Facts
	err := r.view(ctx, func(head ledger.Checkpoint, ignored []ledger.Ignored) (err error) {
		facts = Facts{Head: head, Objects: r.fold.listed(head), Ignored: ignored, Dropped: len(r.fold.dropped)}
		facts.History, err = r.fold.history(r.source, head)
		for _, p := range r.fold.reports {
			facts.Reports = append(facts.Reports, p)
		}
		return err
	})
	if err != nil {
		return Facts{}, err
	}
	slices.SortFunc(facts.Reports, func(a, b ReportRef) int { return compareNames(a.Name, b.Name) })
	facts.Keys = r.ring().info()
	for _, o := range facts.Objects {
		if o.Kind != Base {
			facts.StoredBytes += o.Size
		}
	}
	for _, b := range facts.History.Bases {
		facts.StoredBytes += b.StoredBytes
	}
	return facts, nil
}

// view looks at the newest head. If that is not trusted the keys are read again first: a signer may have been added.
func (r *Repository) view(ctx context.Context, look func(ledger.Checkpoint, []ledger.Ignored) error) error {
	again := errors.New("read keys again")
	newest := 0
	err := r.ledger.View(ctx, func(head ledger.Checkpoint, ignored []ledger.Ignored) error {
		if len(ignored) > 0 {
			return again
		}
		newest = r.fold.newest
		return look(head, ignored)
	})
	var untrusted *ledger.UntrustedError
	if !errors.Is(err, again) && !errors.As(err, &untrusted) {
		return errors.Join(err, r.followKeys(ctx, newest))
	}
	if err := r.reloadKeys(ctx); err != nil {
		return err
	}
	return r.ledger.View(ctx, look)
}

// append appends to the ledger. If a checkpoint is in the way that is not trusted the keys are read again first.
func (r *Repository) append(ctx context.Context, build ledger.Build) (ledger.Checkpoint, error) {
	newest := 0
	noting := func(head ledger.Checkpoint) (ledger.Change, error) {
		newest = r.fold.newest
		return build(head)
	}
	head, err := r.ledger.Append(ctx, noting)
	var untrusted *ledger.UntrustedError
	var blocked *ledger.BlockedError
	if errors.As(err, &untrusted) || errors.As(err, &blocked) {
		if err := r.reloadKeys(ctx); err != nil {
			return ledger.Checkpoint{}, err
		}
		head, err = r.ledger.Append(ctx, noting)
	}
	if err != nil {
		return head, err
	}
	// What was asked for stands; keys that cannot be read now are read the next time.
	if err := r.followKeys(ctx, newest); err != nil {
		r.o.Log.Warn("read keys", "source", r.source, "error", err)
	}
	return head, nil
}

// followKeys reads the keys again when the ledger lists a newer key object than the ones that were read: what is
// sealed from now on is sealed to the new identity.
func (r *Repository) followKeys(ctx context.Context, newest int) error {
	if newest <= r.ring().highest {
		return nil
	}
	return r.reloadKeys(ctx)
}

func (r *Repository) reloadKeys(ctx context.Context) error {
	keys, err := loadKeys(ctx, r.store, r.source, r.o.Identities, r.o.Trusted)
	if err != nil {
		return err
	}
	r.mu.Lock()
	changed := !slices.Equal(keys.verifiers, r.keys.verifiers)
	r.keys = keys
	r.mu.Unlock()
	if !changed {
		return nil
	}
	return r.ledger.Trust(ctx, keys.verifiers)
}

// find returns the object called name if the ledger, as it was last read, lists it, or it is claimed. Tips are found by findSegment.
func (r *Repository) find(ctx context.Context, name string) (Object, error) {
	var found Object
	err := r.ledger.Peek(ctx, func(ledger.Checkpoint) error {
		o, ok := r.fold.objects[name]
		if ok {
			found = o
			return nil
		}
		pinned, ok := r.pins.find(name)
		if !ok {
			return &UnlistedError{Source: r.source, Object: name}
		}
		found = pinned.object
		return nil
	})
	return found, err
}
