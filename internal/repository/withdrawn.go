package repository

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
)

// Withdrawn says what a key that was taken off the readers can still open, if its owner kept a copy of it.
type Withdrawn struct {
	Reader
	Since   time.Time `json:"since"`           // when it was taken off
	Rotated bool      `json:"rotated"`         // what comes is sealed to an identity that it does not know
	Bases   []string  `json:"bases,omitempty"` // IDs
	Objects int       `json:"objects"`         // bases, each as one, and segments
	Bytes   int64     `json:"bytes"`           // stored
	Newest  time.Time `json:"newest,omitzero"` // the last moment that some of it holds
}

// Withdrawn lists the keys that are no readers any more and can open something that is listed, or that comes. It goes by the
// order of the ledger, and reads nothing: what was under way when the identity was rotated is listed later and not counted; Rewrite
// looks at each object.
func (r *Repository) Withdrawn(ctx context.Context) ([]Withdrawn, error) {
	if err := r.reloadKeys(ctx); err != nil {
		return nil, err
	}
	ring := r.ring()
	var list []Withdrawn
	err := r.view(ctx, func(ledger.Checkpoint, []ledger.Ignored) error {
		list = nil
		for _, w := range ring.withdrawn() {
			r.fold.opens(&w)
			if w.Objects > 0 || !w.Rotated {
				list = append(list, w.Withdrawn)
			}
		}
		return nil
	})
	return list, err
}

// withdrawnKey is a key that was taken off, and the key object from whose leaf on it opens nothing; 0 if there is none.
type withdrawnKey struct {
	Withdrawn
	shut int
}

// withdrawn lists who was a reader once and is not now.
func (k *keyring) withdrawn() (list []withdrawnKey) {
	isReader := func(o *keyObject, recipient string) bool {
		return slices.ContainsFunc(o.Readers, func(r Reader) bool { return r.Recipient == recipient })
	}
	seen := map[string]bool{}
	for last := len(k.accepted) - 2; last >= 0; last-- { // the newest object that has it
		for _, reader := range k.accepted[last].Readers {
			if seen[reader.Recipient] || isReader(k.current, reader.Recipient) {
				continue
			}
			seen[reader.Recipient] = true
			w := withdrawnKey{Withdrawn: Withdrawn{Reader: reader, Since: k.accepted[last+1].Created}}
			known := map[string]bool{}
			for _, o := range k.accepted[:last+1] {
				known[o.Recipient] = true
			}
			w.Rotated = !known[k.current.Recipient]
			for _, o := range k.accepted[last+1:] {
				if !known[o.Recipient] {
					w.shut = o.Number
					break
				}
			}
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b withdrawnKey) int { return a.Since.Compare(b.Since) })
	return list
}

// opens fills in what a key can open. It is called while the fold is locked.
func (f *fold) opens(w *withdrawnKey) {
	shut := int64(-1) // the leaf from which on it opens nothing
	if w.shut > 0 {
		for _, name := range keyNames(w.shut) {
			if o, ok := f.objects[name]; ok && (shut < 0 || o.Leaf < shut) {
				shut = o.Leaf
			}
		}
	}
	for name, o := range f.objects {
		if shut >= 0 && o.Leaf > shut {
			continue
		}
		switch o.Kind {
		case Base:
			b := f.bases[name]
			w.Bases = append(w.Bases, b.ID)
			w.Bytes += b.StoredBytes
			w.Newest = latest(w.Newest, b.StopTime)
		case Segment:
			w.Bytes += o.Size
			w.Newest = latest(w.Newest, f.segments[name].Until)
		default:
			continue
		}
		w.Objects++
	}
	slices.SortFunc(w.Bases, strings.Compare)
}
