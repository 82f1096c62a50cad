package repository

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
)

// Receipt says that something is durable and listed here.
type Receipt struct {
	Object     string           `json:"object"` // its name relative to the source; "" for a heartbeat
	Checkpoint uint64           `json:"checkpoint"`
	To         history.Position `json:"to"`
	Time       time.Time        `json:"time"` // of the checkpoint
}

// segmentBody is the body of a segment's leaf and of a tip.
type segmentBody struct {
	history.Segment
	Index pack.IndexRef `json:"index"`
}

// SegmentName is what AppendSegment calls the object.
func SegmentName(s pack.Sealed) string { return logName("log", s) }

// TipName is what PutTip calls the object.
func TipName(s pack.Sealed) string { return logName("tip", s) }

func logName(folder string, s pack.Sealed) string {
	return fmt.Sprintf("%s/%d/%020d-%020d-%.12s", folder, s.Segment.To.Timeline, s.Segment.From.Seq, s.Segment.To.Seq, s.SHA256)
}

// Sealer is what segments for this repository are sealed with. It holds no secret.
func (r *Repository) Sealer() pack.SegmentSealer {
	recipient, err := age.ParseX25519Recipient(r.ring().current.Recipient)
	if err != nil {
		return pack.SegmentSealer{} // sealing says that there is no recipient
	}
	return pack.SegmentSealer{Recipients: []age.Recipient{recipient}}
}

// AppendSegment stores a segment and lists it. open gives the s.Size bytes of the object and may be called again. Tips
// that the segment covers are no longer listed, and deleted a little later. A segment that was dropped stays dropped.
func (r *Repository) AppendSegment(ctx context.Context, s pack.Sealed, open func() (io.ReadCloser, error), whole history.Moment) (Receipt, error) {
	name := SegmentName(s)
	body, err := r.putSealed(ctx, name, s, open, false)
	if err == nil {
		err = r.protect(ctx, name)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("append segment to %s: %w", r.source, err)
	}
	killpoint.At(killpoint.SegmentPut)
	leaf := ledger.Leaf{Kind: string(Segment), Name: name, Size: s.Size, SHA256: s.SHA256, Body: body}
	return r.list(ctx, Receipt{Object: name, To: s.Segment.To}, func(head ledger.Checkpoint) (ledger.Change, error) {
		c := ledger.Change{Whole: later(head.Whole, whole), Leaves: []ledger.Leaf{leaf}}
		if _, stands := r.fold.objects[name]; stands || r.fold.dropped[name] { // what was dropped may be deleted any moment
			c.Leaves = nil
		}
		for _, t := range head.Tips {
			if tip, err := tipSegment(t); err != nil || !covers(s.Segment, tip) {
				c.Tips = append(c.Tips, t)
			}
		}
		return c, nil
	})
}

// PutTip stores a small early segment and lists it in the newest checkpoint in place of the tips named in replaces.
func (r *Repository) PutTip(ctx context.Context, s pack.Sealed, open func() (io.ReadCloser, error), replaces []string, whole history.Moment) (Receipt, error) {
	name := TipName(s)
	body, err := r.putSealed(ctx, name, s, open, true)
	if err != nil {
		return Receipt{}, fmt.Errorf("put tip of %s: %w", r.source, err)
	}
	killpoint.At(killpoint.TipPut)
	tip := ledger.Tip{Name: name, Size: s.Size, SHA256: s.SHA256, Body: body}
	return r.list(ctx, Receipt{Object: name, To: s.Segment.To}, func(head ledger.Checkpoint) (ledger.Change, error) {
		c := ledger.Change{Whole: later(head.Whole, whole)}
		for _, t := range head.Tips {
			if t.Name != name && !slices.Contains(replaces, t.Name) {
				c.Tips = append(c.Tips, t)
			}
		}
		if !r.fold.covered(s.Segment) {
			c.Tips = append(c.Tips, tip)
		}
		return c, nil
	})
}

// Heartbeat says that nothing was committed beyond whole.Position until whole.Time.
func (r *Repository) Heartbeat(ctx context.Context, whole history.Moment) (Receipt, error) {
	return r.list(ctx, Receipt{To: whole.Position}, func(head ledger.Checkpoint) (ledger.Change, error) {
		return ledger.Change{Tips: head.Tips, Whole: later(head.Whole, whole)}, nil
	})
}

// list appends a change that may concern tips; no change is made where the head says all of it already.
func (r *Repository) list(ctx context.Context, receipt Receipt, build ledger.Build) (Receipt, error) {
	var before []ledger.Tip
	head, err := r.append(ctx, func(head ledger.Checkpoint) (ledger.Change, error) {
		before = head.Tips
		c, err := build(head)
		if err == nil && len(c.Leaves) == 0 && c.Whole == head.Whole && sameTips(c.Tips, head.Tips) {
			err = ledger.ErrNoChange
		}
		return c, err
	})
	if err != nil {
		return Receipt{}, err
	}
	r.doom(before, head.Tips)
	r.bury(ctx)
	receipt.Checkpoint, receipt.Time = head.Number, head.Time
	return receipt, nil
}

func sameTips(a, b []ledger.Tip) bool {
	return slices.EqualFunc(a, b, func(a, b ledger.Tip) bool { return a.Name == b.Name })
}

// later is the newer of two statements of completeness.
func later(a, b history.Moment) history.Moment {
	if !b.Time.After(a.Time) {
		return a
	}
	return b
}

// putSealed stores the object and returns its body for the ledger.
func (r *Repository) putSealed(ctx context.Context, name string, s pack.Sealed, open func() (io.ReadCloser, error), tip bool) (json.RawMessage, error) {
	if r.signer == nil {
		return nil, fmt.Errorf("the repository is opened for reading only")
	}
	if len(s.SHA256) != 64 || s.Segment.To.Before(s.Segment.From) {
		return nil, fmt.Errorf("segment %s to %s with SHA-256 %q makes no sense", s.Segment.From, s.Segment.To, s.SHA256)
	}
	s.Segment.Name, s.Segment.Tip = name, tip
	if s.Size <= inMemory {
		s.Index.SHA256 = "" // it is read as a whole, and the ledger is to stay small
	}
	body, err := ledger.Body(segmentBody{s.Segment, s.Index})
	if err != nil {
		return nil, err
	}
	return body, r.ensure(ctx, Object{Name: name, Size: s.Size, SHA256: s.SHA256}, open, func(body io.Reader, object string) *expecting {
		return expectSealed(body, object, s)
	})
}

func tipBody(t ledger.Tip) (segmentBody, error) {
	var b segmentBody
	if err := json.Unmarshal(t.Body, &b); err != nil {
		return b, fmt.Errorf("read tip %s: %w", t.Name, err)
	}
	return b, nil
}

func tipSegment(t ledger.Tip) (history.Segment, error) {
	b, err := tipBody(t)
	return b.Segment, err
}

// covers reports whether all of tip lies in s.
func covers(s, tip history.Segment) bool {
	return s.To.Timeline == tip.To.Timeline && s.From.Seq <= tip.From.Seq && tip.To.Seq <= s.To.Seq
}

// covered reports whether one of the newest segments covers a tip.
func (f *fold) covered(tip history.Segment) bool {
	for _, s := range f.recent {
		if covers(s, tip) {
			return true
		}
	}
	return false
}
