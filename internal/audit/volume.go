package audit

import (
	"encoding/json"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// The kinds of leaf.
const (
	volumeKind = "volume" // the first of a volume
	entryKind  = "entry"
)

// volumeLeaves is how many leaves a volume holds: 64 bundles of the ledger, a few MiB.
const volumeLeaves = 64 * 256

// link is what a volume says of the one before it.
type link struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

// beginning is the body of a volume's first leaf.
type beginning struct {
	Log      string `json:"log"`
	Volume   int    `json:"volume"`
	Previous *link  `json:"previous,omitempty"` // nil in volume 0
}

// volume is one ledger of the chain.
type volume struct {
	number int
	log    *ledger.Log
	fold   *fold
}

// volumeIn is volume number as it lies in s. It is written to if signer is not nil.
func (l *Log) volumeIn(s store.Store, number int, signer *ledger.Signer, memory Memory, keep keep) (*volume, error) {
	p := prefix(l.c.Name, number)
	v := &volume{number: number, fold: newFold(keep)}
	c := ledger.Config{Store: s, Prefix: p, Origin: p, Signer: signer, Verifiers: l.verifiers(), Fold: v.fold, Now: l.c.Now}
	if memory != nil {
		c.Memory = ofVolume{memory, number}
	}
	var err error
	v.log, err = ledger.Open(c)
	return v, err
}

// keep is how much of the leaves a fold holds.
type keep int

const (
	keepIDs     keep = iota // enough to append
	keepEntries             // all
)

// fold is what the leaves of one volume say. It is used while its ledger is locked.
type fold struct {
	keep    keep
	begins  *beginning
	ids     map[string]int64 // the leaf of each entry
	entries []Record
	count   int64
}

func newFold(k keep) *fold {
	f := &fold{keep: k}
	f.Reset()
	return f
}

// Reset implements ledger.Fold.
func (f *fold) Reset() { *f = fold{keep: f.keep, ids: map[string]int64{}} }

// Add implements ledger.Fold.
func (f *fold) Add(leaf ledger.Leaf) error {
	switch leaf.Kind {
	case volumeKind:
		var b beginning
		if err := json.Unmarshal(leaf.Body, &b); err != nil {
			return fmt.Errorf("read leaf %d: %w", leaf.N, err)
		}
		if leaf.N == 0 {
			f.begins = &b
		}
	case entryKind:
		e, err := parseEntry(leaf.Body)
		if err != nil {
			return fmt.Errorf("read leaf %d: %w", leaf.N, err)
		}
		f.count++
		f.ids[e.ID] = leaf.N
		if f.keep == keepEntries {
			f.entries = append(f.entries, Record{N: leaf.N, Entry: e})
		}
	}
	return nil // kinds of a newer version are skipped
}

// follows says what is wrong with the beginning of a volume, "" if it follows what came before. previous is nil where that
// is not known.
func (f *fold) follows(log string, number int, previous *link) string {
	switch b := f.begins; {
	case b == nil:
		return "its first leaf does not say which volume it is"
	case b.Log != log || b.Volume != number:
		return fmt.Sprintf("it begins as volume %d of %s", b.Volume, b.Log)
	case (b.Previous == nil) != (number == 0), previous != nil && *b.Previous != *previous:
		return "it does not follow the volume before it: that one was altered, cut off or replaced after this one had begun"
	}
	return ""
}
