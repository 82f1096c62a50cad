package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

var _ engine.Fingerprinter = Engine{}

// fingerprint is what Fingerprint.Detail holds: of some tables of one database how many rows a snapshot sees, and the sum of their
// hashes. Large tables are sampled by ranges of blocks: what lies where is the same on a server that was recovered from the log.
type fingerprint struct {
	Database string        `json:"database"`
	Snapshot snapshot      `json:"snapshot"`
	Seed     int64         `json:"seed"` // of the hashes: those of two fingerprints cannot be compared by who finds them
	Tables   []tableDigest `json:"tables"`
}

// tableDigest is what was seen of one table.
type tableDigest struct {
	OID    uint32   `json:"oid"`
	Node   uint32   `json:"node"` // number of its file: another one is another file with the rows elsewhere
	Name   string   `json:"name"`
	Ranges []blocks `json:"ranges,omitempty"` // none: all of it
	Rows   int64    `json:"rows"`
	Sum    string   `json:"sum"`
}

// blocks is a range of blocks of a table, the last one not in it.
type blocks [2]uint32

// snapshot is which transactions are over in what a session sees: those below Next that are not Running.
type snapshot struct {
	Next    uint64   `json:"next"`
	Running []uint64 `json:"running,omitempty"` // in ascending order
}

// parseSnapshot reads what txid_current_snapshot gives: oldest:next:running,running.
func parseSnapshot(text string) (s snapshot, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, fmt.Errorf("read snapshot %q: want three parts", text)
	}
	if s.Next, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return s, fmt.Errorf("read snapshot %q: %w", text, err)
	}
	for _, word := range strings.FieldsFunc(parts[2], func(r rune) bool { return r == ',' }) {
		xid, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return s, fmt.Errorf("read snapshot %q: %w", text, err)
		}
		s.Running = append(s.Running, xid)
	}
	slices.Sort(s.Running)
	return s, nil
}

// sees reports whether a transaction is over for s. xid is as the log has it: the lower half of its number, and within 2^31 of those
// that run.
func (s snapshot) sees(xid uint64) bool {
	if int32(uint32(xid)-uint32(s.Next)) >= 0 { //nolint:gosec // arithmetic of transaction numbers goes round
		return false
	}
	return !slices.ContainsFunc(s.Running, func(r uint64) bool { return uint32(r) == uint32(xid) }) //nolint:gosec // the lower half
}

// Cut finds the commit behind which the data is what the snapshot saw: all commits up to there are seen by it and none behind. A
// commit is written into the log before others see it, and those that are written together may be seen in any order; so there may be
// none. It looks back to the last commit that is seen; what is older and not seen is found by the server (see Compare).
func (Engine) Cut(ctx context.Context, log engine.Log, f engine.Fingerprint) (history.Position, error) {
	var d fingerprint
	if err := json.Unmarshal(f.Detail, &d); err != nil {
		return history.Position{}, fmt.Errorf("read fingerprint: %w", err)
	}
	for i := len(log.Segments()) - 1; i >= 0; i-- {
		var last history.Position
		var unseen, between *history.Mark
		err := eachMark(ctx, log, i, func(m history.Mark) {
			switch {
			case m.XID == 0 || m.Position.Seq > f.Position.Seq || m.Position.Timeline != f.Position.Timeline:
			case !d.Snapshot.sees(m.XID):
				if unseen == nil {
					unseen = &m
				}
			default:
				last, between = m.Position, unseen
			}
		})
		if err != nil {
			return last, err
		}
		if between != nil {
			return last, &engine.NoCutError{Text: fmt.Sprintf("transaction %d was logged and not visible when a later one was", between.XID)}
		}
		if !last.IsZero() {
			return last, nil
		}
		if unseen != nil && i == 0 {
			return last, &engine.NoCutError{Text: "no commit that it saw lies in the log"}
		}
	}
	return f.Position, nil
}
