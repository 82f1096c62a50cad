package recovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
)

// Elsewhere is an object that the repository of the plan does not have as it must be, and that was read from another.
type Elsewhere struct {
	Object string `json:"object"`
	Lacks  string `json:"lacks"` // the repository in which it is damaged, missing or unreachable
	From   string `json:"from"`  // the repository it was read from
	Reason string `json:"reason"`
}

// Mirror reads objects from other repositories of the source, which have equal ones. What an object must be is said by
// the signed ledger of the repository of the plan, whoever gives the bytes.
type Mirror interface {
	// Elsewhere says that the object, named as in the store, is not what it must be; ok is false if no other has it.
	Elsewhere(ctx context.Context, object string, cause error) (ok bool)
	// Taken lists what was read elsewhere.
	Taken() []Elsewhere
}

// elsewhere finds another repository for what turned out to be damaged.
func (o Origin) elsewhere(ctx context.Context, base string, err error) bool {
	c, ok := errors.AsType[*repository.CorruptError](err)
	if !ok || o.Mirror == nil || c.Object == "" {
		return false
	}
	name := c.Object
	if !strings.Contains(name, "/") && base != "" { // packs know their own name only
		name = fmt.Sprintf("%s/base/%s/%s", o.History.Source, base, name)
	}
	return o.Mirror.Elsewhere(ctx, name, err)
}

// clearData empties what was laid, so that it can be laid again.
func (f *folder) clearData() error {
	err := os.RemoveAll(f.data())
	if err == nil {
		err = os.Mkdir(f.data(), 0o700)
	}
	if err != nil {
		return fmt.Errorf("restore into %s: %w", f.path, err)
	}
	return nil
}

// Without is the origin as if it did not have the damaged object: other ways to the same target remain. Damage in the
// spool concerns every origin.
func (o Origin) Without(damaged Object) Origin {
	if damaged.Repository == o.Name || damaged.Repository == spoolName {
		o.History = without(o.History, damaged)
	}
	return o
}

// spoolName is what damage calls the spool.
const spoolName = "spool"

func without(h history.History, o Object) history.History {
	if o.Base != "" {
		h.Bases = slices.DeleteFunc(slices.Clone(h.Bases), func(b history.Base) bool { return b.ID == o.Base || b.Parent == o.Base })
		return h
	}
	h.Segments = slices.DeleteFunc(slices.Clone(h.Segments), func(s history.Segment) bool { return s.Name == o.Name })
	return h
}
