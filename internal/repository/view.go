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

// maxPasses is how often an append goes on above what others put in its way.
const maxPasses = 16

// append appends to the ledger, if this host is listed among those who may. If a checkpoint is in the way that is not trusted the keys
// are read again; if a stranger signed it, it is passed over.
func (r *Repository) append(ctx context.Context, build ledger.Build) (ledger.Checkpoint, error) {
	if err := r.listed(ctx); err != nil {
		return ledger.Checkpoint{}, err
	}
	newest := 0
	noting := func(head ledger.Checkpoint) (ledger.Change, error) {
		newest = r.fold.newest
		return build(head)
	}
	head, err := r.ledger.Append(ctx, noting)
	for range maxPasses {
		var untrusted *ledger.UntrustedError
		var blocked *ledger.BlockedError
		if !errors.As(err, &untrusted) && !errors.As(err, &blocked) {
			break
		}
		if err := r.reloadKeys(ctx); err != nil {
			return ledger.Checkpoint{}, err
		}
		if blocked != nil {
			if err := r.passOver(ctx); err != nil {
				return ledger.Checkpoint{}, err
			}
		}
		if head, err = r.ledger.Append(ctx, noting); blocked == nil {
			break
		}
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

// listed refuses to sign for a host that is not listed: hosts without a key would take its checkpoint for a stranger's.
func (r *Repository) listed(ctx context.Context) error {
	own := func() bool { return slices.Contains(r.ring().verifiers, r.signer.Verifier()) }
	if r.signer == nil || own() {
		return nil // without a signer the ledger refuses
	}
	if err := r.reloadKeys(ctx); err != nil || own() {
		return err
	}
	return &UnlistedSignerError{Source: r.source, Verifier: r.signer.Verifier()}
}

// passOver goes on above checkpoints of strangers. Nothing they say counts, and nobody who may write is held up by them. One whose signer
// a key object names that this host cannot verify may be a host that took over: that one is in the way.
func (r *Repository) passOver(ctx context.Context) error {
	passed, err := r.ledger.PassOver(ctx, r.ring().claimed)
	for _, i := range passed {
		r.o.Log.Error("somebody who is not listed signed a checkpoint; it is passed over", "source", r.source, "object", i.Object, "reason", i.Reason)
		if r.o.Stranger != nil {
			r.o.Stranger(i)
		}
	}
	return err
}

// Trust replaces the verifier keys that this host has pinned.
func (r *Repository) Trust(ctx context.Context, pinned []string) error {
	r.mu.Lock()
	r.o.Trusted = slices.Clone(pinned)
	r.mu.Unlock()
	return r.reloadKeys(ctx)
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
	r.mu.Lock()
	pinned := r.o.Trusted
	r.mu.Unlock()
	keys, err := loadKeys(ctx, r.store, r.source, r.o.Identities, pinned)
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
