package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/ledger"
)

// Order is what a decision lets Drop delete, and nothing else.
type Order struct {
	Names  []string // bases as "base/ID", segments, and reports, as the ledger lists them
	Reason string

	// Decided is the number of leaves that the ledger had in the history that was decided on: Facts.Head.Size. If a base
	// or a fork was listed since, the decision did not know of it, and Drop refuses.
	Decided int64
}

// Dropped is what became of an Order.
type Dropped struct {
	Deleted int    // objects
	Left    []Left // dropped, and not deleted yet: a Sweep does it later
}

// Left is an object that is dropped and not deleted.
type Left struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// ClaimedError says that somebody reads what was to be dropped.
type ClaimedError struct {
	Source string
	Object string
	By     string
	Until  time.Time // when the claim ends unless it is renewed; zero: not known
}

func (e *ClaimedError) Error() string {
	return fmt.Sprintf("drop %s of %s: it is being read by %s", e.Object, e.Source, e.By)
}

// Hint says when it can be dropped.
func (e *ClaimedError) Hint() string {
	if e.Until.IsZero() {
		return "try again in a day: no claim counts for longer"
	}
	return "try again when that has ended, or after " + e.Until.UTC().Format(time.RFC3339)
}

// StaleError says that a decision was made without knowing of what was listed since.
type StaleError struct {
	Source string
	Why    string
}

func (e *StaleError) Error() string { return fmt.Sprintf("drop from %s: %s", e.Source, e.Why) }

// Hint says what helps.
func (e *StaleError) Hint() string { return "decide again: nothing was dropped" }

// Drop deletes for good what the order names, in two steps: a leaf says so, then the objects go. It refuses, and drops
// nothing, if something is not listed, is a key object, is being read, is what a base that stays builds on, or if a base or
// a fork was listed that the decision did not know of. Whoever claims something between the two steps and still found it
// listed keeps it: it stays until a Sweep after the claim, as what is locked does until a Sweep after the lock.
//
// A Drop that failed or was killed may be repeated with the same order. What it did not come to, a Sweep does.
func (r *Repository) Drop(ctx context.Context, o Order) (Dropped, error) {
	d := &drop{r: r, order: o}
	for _, name := range o.Names {
		if strings.HasPrefix(name, "base/") && strings.Count(name, "/") == 1 {
			name += "/manifest"
		}
		d.gone = append(d.gone, name)
	}
	if err := d.run(ctx); err != nil {
		return d.result, fmt.Errorf("drop from %s: %w", r.source, err)
	}
	return d.result, nil
}

type drop struct {
	r      *Repository
	order  Order
	gone   []string // names in the ledger
	result Dropped
}

func (d *drop) run(ctx context.Context) error {
	if len(d.gone) == 0 {
		return nil
	}
	read, err := d.claims(ctx)
	if err != nil {
		return err
	}
	body, err := ledger.Body(dropBody{d.gone, d.order.Reason})
	if err != nil {
		return err
	}
	_, err = d.r.append(ctx, func(head ledger.Checkpoint) (ledger.Change, error) {
		if err := d.allowed(read); err != nil {
			return ledger.Change{}, err
		}
		return ledger.Change{Tips: head.Tips, Leaves: []ledger.Leaf{{Kind: string(Drop), Body: body}}}, nil
	})
	if err != nil {
		return err
	}
	killpoint.At(killpoint.DropListed)
	if read, err = d.claims(ctx); err != nil { // those that came before the leaf was seen
		return err
	}
	for _, name := range d.gone {
		if by, _ := read.covers(name); by != "" {
			d.result.Left = append(d.result.Left, Left{Name: name, Why: "it is being read by " + by})
			continue
		}
		if err := d.delete(ctx, name); err != nil {
			return err
		}
		killpoint.At(killpoint.DropDeleted)
	}
	return nil
}

// claims lists the claims that count by the store's clock, which is looked at by way of the newest checkpoint: if that is
// not quite new a claim counts for longer, never for less.
func (d *drop) claims(ctx context.Context) (claims, error) {
	head := uint64(0)
	err := d.r.view(ctx, func(h ledger.Checkpoint, _ []ledger.Ignored) error { head = h.Number; return nil })
	if err != nil {
		return claims{}, err
	}
	newest, err := d.r.store.Stat(ctx, d.r.object(fmt.Sprintf("ledger/checkpoint/%012d", head)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return claims{}, err
	}
	live, _, err := d.r.claims(ctx, newest.Created)
	return live, err
}

// allowed says whether the leaf may be appended now. It is called while the fold is locked.
func (d *drop) allowed(read claims) error {
	f, again := d.r.fold, 0
	for _, name := range d.gone {
		o, ok := f.objects[name]
		switch {
		case f.dropped[name]:
			again++
		case !ok:
			return &UnlistedError{Source: d.r.source, Object: name}
		case o.Kind == Key:
			return fmt.Errorf("%s is a key object: %w", name, fs.ErrPermission)
		}
	}
	if again == len(d.gone) {
		return ledger.ErrNoChange
	}
	for _, name := range d.gone {
		if by, until := read.covers(name); by != "" {
			return &ClaimedError{Source: d.r.source, Object: name, By: by, Until: until}
		}
	}
	if f.structure >= d.order.Decided {
		return &StaleError{Source: d.r.source, Why: fmt.Sprintf("a base or a fork was listed after it was decided (leaf %d of %d)", f.structure, d.order.Decided)}
	}
	for name, b := range f.bases {
		if parent := manifestName(b.Parent); b.Parent != "" && !slices.Contains(d.gone, name) && slices.Contains(d.gone, parent) {
			return &StaleError{Source: d.r.source, Why: fmt.Sprintf("base %s builds on base %s", b.ID, b.Parent)}
		}
	}
	return nil
}

// delete deletes an object, and with a manifest all of its base. The manifest goes first: a base that is half gone must
// not look whole to anybody who reads the store by hand.
func (d *drop) delete(ctx context.Context, name string) error {
	folder, isBase := strings.CutSuffix(name, "manifest")
	if !isBase {
		return d.deleteObject(ctx, name)
	}
	if err := d.deleteObject(ctx, name); err != nil {
		return err
	}
	objects, err := listObjects(ctx, d.r.store, d.r.object(folder))
	if err != nil {
		return err
	}
	for _, o := range objects {
		if rest := d.r.relative(o); rest != name {
			if err := d.deleteObject(ctx, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteObject leaves an object that is locked to a Sweep after its lock has ended.
func (d *drop) deleteObject(ctx context.Context, name string) error {
	err := d.r.store.Delete(ctx, d.r.object(name))
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.result.Left = append(d.result.Left, Left{Name: name, Why: "it is locked"})
	case err != nil:
		return err
	default:
		d.result.Deleted++
	}
	return nil
}
