package archive

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/spool"
)

// sync opens the repository if need be, and compares what it has with the spool.
func (s *shipper) sync(ctx context.Context) error {
	if s.synced || s.opened() != nil && !s.a.hasLine() {
		return nil
	}
	limited, end := context.WithTimeout(ctx, openDeadline)
	defer end()
	repo := s.opened()
	if repo == nil {
		var err error
		if repo, err = s.c.Open(limited); err != nil {
			return err
		}
	}
	facts, err := repo.Facts(limited)
	if err != nil {
		return err
	}
	h := facts.History
	s.update(func(v *view) {
		s.repo = repo // together: whoever sees it open sees what it has
		v.read(h, facts.StoredBytes)
	})
	s.wantCopies()
	if !s.a.hasLine() {
		return nil
	}
	return s.compare(ctx, h)
}

// hasLine reports whether the spool has a line of log that joins what the repositories have.
func (a *Archive) hasLine() bool { return a.isSettled() && !a.sp.Bookmark().Position.IsZero() }

// compare finds where shipping goes on.
func (s *shipper) compare(ctx context.Context, h history.History) error {
	st := s.a.sp.Stats()
	v := s.look()
	if st.Last.Before(v.durable.Position) || st.Last.Timeline < v.top.Position.Timeline {
		return &AheadError{Repository: s.c.Name, Has: v.top.Position, Spool: st.Last}
	}
	s.segments, s.tips, s.stale, s.next = v.segments, nil, nil, span{}
	again, err := s.recallTips(ctx, h)
	if err != nil {
		return err
	}
	if again {
		facts, err := s.repo.Facts(ctx)
		if err != nil {
			return err
		}
		s.update(func(v *view) { v.read(facts.History, facts.StoredBytes) })
		return s.compare(ctx, facts.History)
	}
	if s.segments.Position.Before(st.First) {
		if wait, err := s.fillIn(ctx, st.First); wait || err != nil {
			return err
		}
	}
	durable := s.segments
	if n := len(s.tips); n > 0 {
		durable = s.tips[n-1].moment()
		s.next = s.tips[n-1].after()
	} else {
		s.next = spanAt(s.segments)
	}
	s.synced, s.seeks = true, time.Time{}
	s.lastBeat = time.Time{}
	s.update(func(v *view) { v.segments, v.durable, v.tips = s.segments, durable, len(s.tips) })
	return nil
}

// recallTips finds the listed tips that join the segments and each other, and where in the spool they lie. Tips whose
// log is not in the spool are kept for good; the caller then looks again.
func (s *shipper) recallTips(ctx context.Context, h history.History) (again bool, err error) {
	var listed []history.Segment
	for _, seg := range h.Segments {
		if seg.Tip && s.segments.Position.Before(seg.To) {
			listed = append(listed, seg)
		}
	}
	slices.SortFunc(listed, func(a, b history.Segment) int {
		return cmp.Or(a.From.Compare(b.From), b.To.Compare(a.To))
	})
	at := spanAt(s.segments)
	var loose []history.Segment
	for _, seg := range listed {
		sp := at
		err := sp.extendTo(s.a.sp, seg.To, 0)
		var unjoined *unjoinedError
		switch {
		case errors.As(err, &unjoined), err == nil && (!sp.from.Equal(seg.From) || sp.bytes == 0):
			loose = append(loose, seg)
			continue
		case err != nil:
			return false, err
		}
		if seg.Until.Before(sp.until) {
			sp.until = seg.Until // the spool knows more of the time behind it, and no repository was told
		}
		s.tips = append(s.tips, tip{span: sp.forget(), name: seg.Name})
		at = sp.after()
	}
	for _, seg := range loose {
		if !at.to.Before(seg.To) {
			s.stale = append(s.stale, seg.Name)
			continue
		}
		if err := s.repo.KeepTip(ctx, seg.Name); err != nil {
			return false, err
		}
		again = true
	}
	return again, nil
}

// fillPatience is how long a repository that cannot be asked for missing log is waited for.
const fillPatience = time.Minute

// fillIn copies from the other repositories the log that this one lacks and the spool has no longer. It reports whether
// to look again soon: another repository is about to make segments of what is missing, or cannot be asked just now.
func (s *shipper) fillIn(ctx context.Context, first history.Position) (wait bool, err error) {
	from, unread := s.segments, false
	if !from.Position.IsZero() {
		if wait, unread, err = s.copyLog(ctx, from.Position, first); wait || err != nil {
			return wait, err
		}
		facts, err := s.repo.Facts(ctx)
		if err != nil {
			return false, err
		}
		from = segmentEnd(facts.History)
	}
	s.segments = from
	if !from.Position.Before(first) {
		return false, nil
	}
	now := s.a.c.Now()
	if s.seeks.IsZero() {
		s.seeks = now
	}
	if unread && now.Sub(s.seeks) < fillPatience {
		return true, nil
	}
	if !from.Position.IsZero() {
		gap := history.Gap{From: from.Position, To: first, Since: from.Time, Until: now, Reason: "no repository that could be reached has the log of this stretch"}
		if err := s.repo.RecordGap(ctx, gap); err != nil {
			return false, err
		}
		s.a.emit(Event{Kind: LogMissing, Repository: s.c.Name, Text: "the log from " + gap.From.String() + " to " + first.String() + " is in no repository that could be reached"})
	}
	s.segments = history.Moment{Position: first}
	return false, nil
}

// unjoinedError says that no entry of the spool ends at a position.
type unjoinedError struct{ at history.Position }

func (e *unjoinedError) Error() string { return "the spool has no entry that ends at " + e.at.String() }

// extendTo takes what is in the spool behind s up to exactly to, or until s has limit bytes; a limit of zero is none. The
// parts of a commit come only with its end, as in extend.
func (s *span) extendTo(sp *spool.Spool, to history.Position, limit int64) error {
	entries := sp.ReadAfter(s.end)
	if !s.located {
		entries = sp.Read(s.to)
	}
	next := *s
	for e, err := range entries {
		switch {
		case err != nil:
			return err
		case e.Break || to.Before(e.Piece.To) || e.Hole && s.bytes > 0:
			return s.joined(to)
		}
		if next.take(&e); next.parted {
			continue
		}
		*s = next
		if limit > 0 && s.bytes >= limit {
			return nil
		}
	}
	return s.joined(to)
}

func (s *span) joined(to history.Position) error {
	if !s.to.Equal(to) {
		return &unjoinedError{to}
	}
	return nil
}

// sampleSpan counts the lag of the commits in a span that has become durable.
func (s *shipper) sampleSpan(sp span) {
	r := &reading{sp: s.a.sp, s: sp}
	s.sample(r.entries(), sp.to)
}

// sample counts the lag of the commits up to a position.
func (s *shipper) sample(entries iter.Seq[spool.Entry], to history.Position) {
	now := s.a.c.Now()
	for e := range entries {
		if to.Before(e.Piece.To) {
			return
		}
		for _, m := range e.Piece.Marks {
			if m.Name == "" && !m.Time.IsZero() {
				s.lags.add(now, now.Sub(m.Time))
			}
		}
	}
}
