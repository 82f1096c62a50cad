package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
)

// Rewritten is what became of a Rewrite.
type Rewritten struct {
	Dropped []string // bases and segments, as in an Order, that are sealed anew and whose old ones are gone
	Bytes   int64    // stored, that were sealed anew
	Left    []Left   // that an older identity still opens
}

// Rewrite seals all bases and segments anew that an older identity opens than the one that new ones are sealed to, and drops the old.
// It needs a reader's key. What one of others, repositories of this source, holds under the new identity already is
// copied from there, so that all hold equal objects. progress is told stored bytes; it may be nil.
//
// It goes object by object. Nothing is dropped before what takes its place was put, read back, decrypted, found to hold the same plain
// bytes, and listed. So it may be ended or killed at any point, and called again it goes on. What somebody is
// reading is Left, and so are bases that others build on.
func (r *Repository) Rewrite(ctx context.Context, others []*Repository, progress func(done, total int64)) (Rewritten, error) {
	if !r.CanRead() {
		return Rewritten{}, &NoKeyError{Source: r.source, Need: "rewrite"}
	}
	if r.signer == nil {
		return Rewritten{}, fmt.Errorf("rewrite %s: the repository is opened for reading only", r.source)
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	w := &rewriter{r: r, others: others, progress: progress}
	if err := w.run(ctx); err != nil {
		return w.result, fmt.Errorf("rewrite %s in %s: %w", r.source, r.store, err)
	}
	return w.result, nil
}

// dropsAtOnce is how many segments one leaf drops: each leaf costs a checkpoint.
const dropsAtOnce = 64

type rewriter struct {
	r        *Repository
	others   []*Repository
	progress func(done, total int64)
	done     int64
	total    int64

	old    []string // that have a proven copy and are to be dropped
	result Rewritten
}

func (w *rewriter) run(ctx context.Context) error {
	if err := w.r.reloadKeys(ctx); err != nil {
		return err
	}
	for _, other := range w.others {
		if err := other.reloadKeys(ctx); err != nil {
			return err
		}
		if err := w.r.sameKeys(other); err != nil {
			return err
		}
	}
	f, err := w.r.Facts(ctx)
	if err != nil {
		return err
	}
	w.total = f.StoredBytes
	for _, b := range f.History.Bases {
		if err := w.judge(ctx, manifestName(b.ID), w.base(ctx, b, f.History.Bases)); err != nil {
			return fmt.Errorf("base %s: %w", b.ID, err)
		}
		w.count(b.StoredBytes)
	}
	for _, s := range f.History.Segments {
		if s.Tip {
			continue
		}
		if err := w.judge(ctx, s.Name, w.segment(ctx, s, f.History.Segments)); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		w.count(s.StoredBytes)
	}
	return w.drop(ctx)
}

// judge passes an error on, unless it says that an object was dropped meanwhile, or is damaged: that is left.
func (w *rewriter) judge(ctx context.Context, name string, err error) error {
	var unlisted *UnlistedError
	var corrupt *CorruptError
	if !errors.As(err, &unlisted) && !errors.As(err, &corrupt) {
		return err
	}
	if w.r.lists(ctx, name) {
		w.leave(sweepUnit(name), err.Error())
	}
	return nil
}

func (w *rewriter) count(n int64) {
	w.done += n
	w.progress(min(w.done, w.total), w.total)
}

// base seals a base anew, unless that is done.
func (w *rewriter) base(ctx context.Context, b history.Base, all []history.Base) error {
	m, err := w.r.manifestOf(ctx, b.ID)
	if err != nil {
		return err
	}
	if current, err := w.r.isCurrent(m.Sealed); current || err != nil {
		return err
	}
	if b.Parent != "" || slices.ContainsFunc(all, func(c history.Base) bool { return c.Parent == b.ID }) {
		w.leave("base/"+b.ID, "it builds on another base, or another one builds on it")
		return nil
	}
	anew, err := w.baseAnew(ctx, m)
	if err != nil {
		return err
	}
	if err := w.sameBase(ctx, m, anew); err != nil {
		return err
	}
	return w.replaced(ctx, "base/"+b.ID, b.StoredBytes, 1)
}

// baseAnew finds what takes the place of a base, here or in another repository, or makes it.
func (w *rewriter) baseAnew(ctx context.Context, m *manifest) (*manifest, error) {
	anew, err := w.baseTwin(ctx, w.r, m.Base)
	for _, other := range w.others {
		if anew != nil || err != nil {
			break
		}
		if anew, err = w.baseTwin(ctx, other, m.Base); anew != nil {
			err = w.r.CopyBase(ctx, other, anew.Base.ID, nil)
		}
	}
	if anew != nil || err != nil {
		return anew, err
	}
	return w.r.resealBase(ctx, m)
}

// baseTwin is the base in a repository that holds what b does and that the new identity opens; nil if there is none.
func (w *rewriter) baseTwin(ctx context.Context, in *Repository, b history.Base) (*manifest, error) {
	f, err := in.Facts(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range f.History.Bases {
		same := t.Start.Equal(b.Start) && t.Stop.Equal(b.Stop) && t.StartTime.Equal(b.StartTime) && t.StopTime.Equal(b.StopTime) && t.SystemID == b.SystemID
		if t.ID == b.ID || t.Type != b.Type || t.Bytes != b.Bytes || !same {
			continue
		}
		m, err := in.manifestOf(ctx, t.ID)
		if err != nil {
			return nil, err
		}
		if current, err := in.isCurrent(m.Sealed); current || err != nil {
			return m, err
		}
	}
	return nil, nil
}

// sameBase compares the plain bytes of all objects of two bases, as they are in the store.
func (w *rewriter) sameBase(ctx context.Context, old, anew *manifest) error {
	was, is := old.parts(), anew.parts()
	if len(was) != len(is) {
		return fmt.Errorf("base %s has %d objects, and %s, which is to take its place, %d", old.Base.ID, len(was), anew.Base.ID, len(is))
	}
	for i := range was {
		if err := w.same(ctx, was[i], is[i]); err != nil {
			return err
		}
	}
	keys := w.r.ring()
	return samePlain(digestPlain(bytes.NewReader(old.Sealed), keys.secret.ageIdentities()), digestPlain(bytes.NewReader(anew.Sealed), keys.newest()), w.r.object(manifestName(anew.Base.ID)))
}

// same compares the plain bytes of two objects, and that the first is as it is listed, and that the new identity opens the second.
func (w *rewriter) same(ctx context.Context, old, anew Object) error {
	return samePlain(w.r.plainDigest(ctx, old, w.r.ring().secret.ageIdentities()), w.r.plainDigest(ctx, anew, w.r.ring().newest()), w.r.object(anew.Name))
}

// segment seals a segment anew, unless that is done.
func (w *rewriter) segment(ctx context.Context, s history.Segment, all []history.Segment) error {
	o, body, err := w.r.findSegment(ctx, s.Name)
	if err != nil {
		return err
	}
	current, err := w.r.segmentIsCurrent(ctx, o)
	if current || err != nil {
		return err
	}
	anew, err := w.segmentAnew(ctx, o, body, all)
	if err != nil {
		return err
	}
	if err := w.same(ctx, o, anew); err != nil {
		return err
	}
	return w.replaced(ctx, s.Name, s.StoredBytes, dropsAtOnce)
}

// segmentAnew finds what takes the place of a segment, here or in another repository, or makes it.
func (w *rewriter) segmentAnew(ctx context.Context, o Object, body segmentBody, all []history.Segment) (Object, error) {
	anew, err := w.segmentTwin(ctx, w.r, body.Segment, all)
	for _, other := range w.others {
		if anew.Name != "" || err != nil {
			break
		}
		var f Facts
		if f, err = other.Facts(ctx); err == nil {
			anew, err = w.segmentTwin(ctx, other, body.Segment, f.History.Segments)
		}
		if anew.Name != "" && err == nil {
			err = w.r.CopySegment(ctx, other, history.Segment{Name: anew.Name})
		}
	}
	if anew.Name != "" || err != nil {
		return anew, err
	}
	return w.r.resealSegment(ctx, o, body)
}

// segmentTwin is the segment that covers the same and that the new identity opens; the zero Object if there is none.
func (w *rewriter) segmentTwin(ctx context.Context, in *Repository, s history.Segment, all []history.Segment) (Object, error) {
	for _, t := range all {
		same := t.From.Equal(s.From) && t.To.Equal(s.To) && t.Since.Equal(s.Since) && t.Until.Equal(s.Until)
		if t.Tip || t.Name == s.Name || !same {
			continue
		}
		o, _, err := in.findSegment(ctx, t.Name)
		if err != nil {
			return Object{}, err
		}
		if current, err := in.segmentIsCurrent(ctx, o); current || err != nil {
			return o, err
		}
	}
	return Object{}, nil
}

func (w *rewriter) leave(name, why string) {
	w.result.Left = append(w.result.Left, Left{Name: name, Why: why})
}

// replaced notes that an object has a proven copy, and drops what there is once it is so many.
func (w *rewriter) replaced(ctx context.Context, name string, bytes int64, atOnce int) error {
	w.old = append(w.old, name)
	w.result.Bytes += bytes
	if len(w.old) < atOnce {
		return nil
	}
	return w.drop(ctx)
}

// decisionsTried bounds how often a drop is decided again because a base was listed meanwhile.
const decisionsTried = 10

// drop drops what has a proven copy. What is being read is left, and the rest goes without it.
func (w *rewriter) drop(ctx context.Context) error {
	for tries := 1; len(w.old) > 0; tries++ {
		f, err := w.r.Facts(ctx)
		if err != nil {
			return err
		}
		reason := fmt.Sprintf("it is sealed anew, to the identity of key object %d", f.Keys.Number)
		dropped, err := w.r.Drop(ctx, Order{Names: w.old, Reason: reason, Decided: f.Head.Size})
		var claimed *ClaimedError
		var stale *StaleError
		switch {
		case errors.As(err, &claimed):
			base := sweepUnit(claimed.Object)
			w.leave(base, "it is being read by "+claimed.By)
			w.old = slices.DeleteFunc(w.old, func(name string) bool { return name == base })
			continue
		case errors.As(err, &stale) && tries < decisionsTried:
			continue
		case err != nil:
			return err
		}
		w.result.Dropped = append(w.result.Dropped, w.old...)
		w.result.Left = append(w.result.Left, dropped.Left...)
		w.old = nil
	}
	return nil
}

// lists reports whether the newest head lists an object, or may do so.
func (r *Repository) lists(ctx context.Context, name string) bool {
	listed := false
	err := r.view(ctx, func(ledger.Checkpoint, []ledger.Ignored) error { _, listed = r.fold.objects[name]; return nil })
	return listed || err != nil
}

// resealBase makes a base that holds the same as another, sealed to the newest identity, and lists it.
func (r *Repository) resealBase(ctx context.Context, old *manifest) (*manifest, error) {
	began, _, _ := strings.Cut(old.Base.ID, "-") // it is as old as the other
	w := &BaseWriter{r: r, id: nameBase(began)}
	defer w.Abort() // what there is of it is removed, unless it is listed; what cannot be removed is left to Sweep
	anew := &manifest{Format: old.Format, Base: old.Base, Contents: old.Contents}
	anew.Base.ID = w.id
	for _, parts := range []*[]pack.Part{&anew.Packs, &anew.Maps} {
		*parts = slices.Clone(*parts)
		for i, p := range *parts {
			from := Object{Name: baseFolder(old.Base.ID) + p.Name, Kind: Base, Size: p.Size, SHA256: p.SHA256}
			sealed, err := r.reseal(ctx, from)
			if err != nil {
				return nil, err
			}
			to := Object{Name: baseFolder(w.id) + p.Name, Kind: Base, Size: sealed.size, SHA256: sealed.sum}
			w.names = append(w.names, r.object(to.Name))
			err = errors.Join(r.ensure(ctx, to, sealed.open, func(body io.Reader, object string) *expecting { return expect(body, object, to.Size, to.SHA256) }), sealed.Close())
			if err != nil {
				return nil, err
			}
			(*parts)[i].Size, (*parts)[i].SHA256 = sealed.size, sealed.sum
			killpoint.At(killpoint.BasePack)
		}
	}
	var err error
	if anew.Sealed, err = r.resealBytes(old.Sealed); err != nil {
		return nil, err
	}
	return anew, w.list(ctx, anew)
}

// resealSegment makes a segment that holds the same as another, sealed to the newest identity, and lists it.
func (r *Repository) resealSegment(ctx context.Context, old Object, body segmentBody) (Object, error) {
	sealed, err := r.reseal(ctx, old)
	if err != nil {
		return Object{}, err
	}
	s := pack.Sealed{Segment: body.Segment, Size: sealed.size, SHA256: sealed.sum, Index: body.Index}
	s.Segment.StoredBytes = sealed.size
	_, err = r.AppendSegment(ctx, s, sealed.open, history.Moment{})
	if err = errors.Join(err, sealed.Close()); err != nil {
		return Object{}, err
	}
	return Object{Name: SegmentName(s), Kind: Segment, Size: s.Size, SHA256: s.SHA256}, nil
}
