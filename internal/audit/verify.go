package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// Fault says in which way the log is not as it was written.
type Fault string

// The faults.
const (
	Altered  Fault = "altered"  // an object is not the one that was signed, is missing, or was moved
	Removed  Fault = "removed"  // a whole volume is missing
	Rollback Fault = "rollback" // what was seen before, here or in a copy, is not there any more, or is something else
	Foreign  Fault = "foreign"  // an object is signed by a key that is not trusted, or is none of the log's
)

// Problem is one thing that is wrong.
type Problem struct {
	Object string `json:"object"`         // its name in the store, or the copy
	Copy   string `json:"copy,omitempty"` // the store whose copy it is in; "" for the log itself
	Fault  Fault  `json:"fault"`
	Detail string `json:"detail"`
}

func (p Problem) String() string {
	if p.Copy != "" {
		return fmt.Sprintf("copy in %s: %s: %s: %s", p.Copy, p.Object, p.Fault, p.Detail)
	}
	return fmt.Sprintf("%s: %s: %s", p.Object, p.Fault, p.Detail)
}

// Verification is what Verify found.
type Verification struct {
	Log      string    `json:"log"`
	Volumes  int       `json:"volumes"`
	Entries  int64     `json:"entries"` // that are as they were signed
	Newest   Seen      `json:"newest"`  // the last checkpoint
	Copies   int       `json:"copies"`  // that were compared
	Problems []Problem `json:"problems"`
	// Unfinished are objects that a copy has, and that no checkpoint there covers yet: it was interrupted, or goes on now.
	Unfinished []string `json:"unfinished,omitempty"`
}

// Whole reports whether nothing is wrong with the log itself, whatever is with its copies.
func (v Verification) Whole() bool {
	return !slices.ContainsFunc(v.Problems, func(p Problem) bool { return p.Copy == "" })
}

// Verify reads all of the log and says what is wrong. copies are stores that the log is copied to: what they hold must be
// the beginning of what is here, and every object of them is read and verified too. It goes on after a fault; the error is
// for a store that fails. It is fs.ErrNotExist if the log was never begun.
func (l *Log) Verify(ctx context.Context, copies ...store.Store) (Verification, error) {
	x := &verifier{l: l, v: Verification{Log: l.c.Name}, bad: map[int]bool{}}
	if err := x.run(ctx, copies); err != nil {
		return x.v, fmt.Errorf("verify audit log %s: %w", l.c.Name, err)
	}
	return x.v, nil
}

type verifier struct {
	l    *Log
	v    Verification
	copy string       // the store whose copy is looked at; "" for the log itself
	bad  map[int]bool // volumes of the log itself with a problem
}

func (x *verifier) add(object string, f Fault, format string, args ...any) {
	x.v.Problems = append(x.v.Problems, Problem{object, x.copy, f, fmt.Sprintf(format, args...)})
}

func (x *verifier) run(ctx context.Context, copies []store.Store) error {
	// The copies are looked at first: what they have was here before.
	var held []heldCopy
	for _, s := range copies {
		h, err := x.copied(ctx, s)
		if err != nil {
			return err
		}
		if h != nil {
			held = append(held, *h)
		}
	}
	volumes, err := listing(ctx, x.l.c.Store, x.l.c.Name)
	if err != nil {
		return err
	}
	newest := newestOf(volumes)
	if err := x.remembered(newest); err != nil {
		return err
	}
	var previous *link
	for n := range newest + 1 {
		if volumes[n] == nil {
			x.add(prefix(x.l.c.Name, n), Removed, "the volume is missing, but later ones stand")
			previous = nil
			continue
		}
		found := len(x.v.Problems)
		if previous, err = x.volume(ctx, n, previous); err != nil {
			return err
		}
		x.bad[n] = len(x.v.Problems) > found
	}
	x.v.Volumes = len(volumes)
	for _, s := range copies {
		if err := x.whole(ctx, s); err != nil {
			return err
		}
	}
	for _, h := range held {
		if err := x.compare(ctx, h, newest); err != nil {
			return err
		}
	}
	if newest < 0 && len(x.v.Problems) == 0 {
		return fs.ErrNotExist
	}
	return nil
}

// remembered compares the newest volume with what this host saw.
func (x *verifier) remembered(newest int) error {
	if x.l.c.Memory == nil {
		return nil
	}
	seen, ok, err := x.l.c.Memory.Load()
	var lost *ledger.RollbackError
	if ok && err == nil && newest < seen.Volume && errors.As(x.l.lost(seen, newest), &lost) {
		x.add(folder+"/"+x.l.c.Name, Rollback, "%s", lost.Detail)
	}
	return err
}

// volume verifies one volume and returns how the next must refer to it, nil if that cannot be said.
func (x *verifier) volume(ctx context.Context, n int, previous *link) (*link, error) {
	v, err := x.l.volumeIn(x.l.c.Store, n, nil, recallOnly{x.l.c.Memory}.orNil(), keepIDs)
	if err != nil {
		return nil, err
	}
	head, err := v.log.Head(ctx)
	if x.fault(n, err) {
		var back *ledger.RollbackError
		if !errors.As(err, &back) {
			return nil, nil
		}
		// What is there now can still be compared with itself.
		if v, err = x.l.volumeIn(x.l.c.Store, n, nil, nil, keepIDs); err != nil {
			return nil, err
		}
		if head, err = v.log.Head(ctx); x.fault(n, err) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if wrong := v.fold.follows(x.l.c.Name, n, previous); wrong != "" {
		x.add(prefix(x.l.c.Name, n), Altered, "%s", wrong)
	}
	bad, err := v.log.Audit(ctx)
	if err != nil && !x.fault(n, err) {
		return nil, err
	}
	for _, i := range bad {
		x.ignored(i, head)
	}
	x.v.Entries += v.fold.count
	x.v.Newest = Seen{n, head.Seen()}
	return &link{head.Size, head.Root}, nil
}

// fault notes an error that says something about the log, not about the store.
func (x *verifier) fault(n int, err error) bool {
	var corrupt *ledger.CorruptError
	var back *ledger.RollbackError
	var untrusted *ledger.UntrustedError
	switch {
	case errors.As(err, &corrupt):
		detail := corrupt.Detail
		if corrupt.Want != "" {
			detail += fmt.Sprintf(": want %s, got %s", corrupt.Want, corrupt.Got)
		}
		x.add(corrupt.Object, Altered, "%s", detail)
	case errors.As(err, &back):
		x.add(back.Log, Rollback, "%s", back.Detail)
		for _, i := range back.Ignored {
			x.add(i.Object, Altered, "%s", i.Reason)
		}
	case errors.As(err, &untrusted):
		for _, i := range untrusted.Ignored {
			x.add(i.Object, Foreign, "%s", i.Reason)
		}
	case errors.Is(err, fs.ErrNotExist):
		x.add(prefix(x.l.c.Name, n), Removed, "the volume has no checkpoint")
	default:
		return false
	}
	return true
}

// ignored notes an object that does not count.
func (x *verifier) ignored(i ledger.Ignored, head ledger.Checkpoint) {
	var bundle int64
	_, _, rest, _ := place(i.Object)
	if _, err := fmt.Sscanf(rest, "bundle/%d", &bundle); err == nil && (bundle+1)*bundleLeaves > head.Size {
		x.v.Unfinished = append(x.v.Unfinished, i.Object)
		return
	}
	fault := Foreign
	if strings.HasPrefix(rest, "checkpoint/") || strings.HasPrefix(rest, "bundle/") {
		fault = Altered
	}
	x.add(i.Object, fault, "%s", i.Reason)
}

// bundleLeaves is how many leaves a bundle of a ledger holds: docs/format/ledger.md.
const bundleLeaves = 256

// heldCopy is how far a copy has come.
type heldCopy struct {
	store store.Store
	seen  Seen
}

// copied reads how far a copy has come; nil if it holds nothing, or nothing that can be verified: whole names that.
func (x *verifier) copied(ctx context.Context, s store.Store) (*heldCopy, error) {
	seen, ok, err := x.l.newestIn(ctx, s)
	if isDamage(err) {
		x.v.Copies++
		return nil, nil
	}
	if err != nil || !ok {
		return nil, err
	}
	x.v.Copies++
	return &heldCopy{s, seen}, nil
}

// compare says whether what a copy holds is the beginning of what is here.
func (x *verifier) compare(ctx context.Context, h heldCopy, newest int) error {
	if newest < h.seen.Volume {
		x.add(h.store.String(), Rollback, "the copy has volume %06d, which is missing here", h.seen.Volume)
		return nil
	}
	v, err := x.l.volumeIn(x.l.c.Store, h.seen.Volume, nil, nil, keepIDs)
	if err != nil {
		return err
	}
	_, _, err = v.log.Extends(ctx, h.seen.Seen)
	var back *ledger.RollbackError
	if errors.As(err, &back) {
		x.add(h.store.String(), Rollback, "the copy in %s holds what is not here: %s", h.store, back.Detail)
		return nil
	}
	var corrupt *ledger.CorruptError
	var untrusted *ledger.UntrustedError
	if errors.As(err, &corrupt) || errors.As(err, &untrusted) || errors.Is(err, fs.ErrNotExist) {
		return nil // noted when the volume was read
	}
	return err
}

// recallOnly is a Memory that Verify does not change.
type recallOnly struct{ Memory }

// Save does nothing.
func (recallOnly) Save(Seen) error { return nil }

func (r recallOnly) orNil() Memory {
	if r.Memory == nil {
		return nil
	}
	return r
}
