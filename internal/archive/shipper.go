package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/spool"
)

// shipper brings the log to one repository. Its fields above mu belong to the goroutine of run.
type shipper struct {
	a *Archive
	c Repo

	synced   bool // what follows agrees with the repository
	wrote    bool // something was written since the last failure: reading alone does not prove that it can be
	segments history.Moment
	tips     []tip
	stale    []string // listed tips that join nothing; the next tip takes their place
	next     span     // in the spool and not in the repository
	lastTip  time.Time
	lastBeat time.Time

	seeks time.Time // since when log is missing that the spool has no longer

	copyNow chan struct{}
	beatNow chan struct{}
	lacks   time.Time // since when no base joins the log; runCopies' own
	swept   time.Time // when what was left behind was last removed; runCopies' own
	outage  outage
	copying outage
	lags    lagWindow

	mu   sync.Mutex
	repo *repository.Repository
	view view
}

func (s *shipper) opened() *repository.Repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repo
}

// Deadlines of one step with a repository. The store bounds each request; these bound all of them together.
const (
	openDeadline = time.Minute
	tipDeadline  = time.Minute
	slowest      = 128 << 10 // bytes a second that are still waited for
)

// run ships until ctx ends, or until all is shipped once capture has ended.
func (s *shipper) run(ctx context.Context) {
	for ctx.Err() == nil {
		appended, sealed, settled, drain := s.a.appended.wait(), s.a.shelf.more.wait(), s.a.settled, s.a.draining
		draining, wasSettled := s.a.isDraining(), s.a.isSettled()
		wait, err := s.step(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			wait = s.failed(err)
		} else if s.synced && s.wrote {
			s.well()
		}
		if draining && (err != nil || s.idle()) {
			return
		}
		if err != nil || s.next.bytes > 0 {
			appended = nil // what there is already waits for its time
		}
		if err != nil {
			sealed = nil
		}
		if err != nil || wasSettled {
			settled = nil
		}
		if draining {
			drain = nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-appended:
		case <-sealed:
		case <-s.beatNow:
		case <-settled:
		case <-drain:
		}
		timer.Stop()
	}
}

func (a *Archive) isDraining() bool {
	select {
	case <-a.draining:
		return true
	default:
		return false
	}
}

// idle reports whether the repository has all that the spool has, and knows up to when that is all there was.
func (s *shipper) idle() bool {
	v, whole := s.look(), s.a.wholeMoment()
	if !s.synced {
		return true
	}
	return !v.durable.Position.Before(s.a.sp.Bookmark().Position) && (!v.whole.Time.Before(whole.Time) || !v.durable.Position.Equal(whole.Position))
}

func (s *shipper) failed(err error) time.Duration {
	n := s.outage.fail(err, s.a.c.Now())
	if n == 1 {
		s.a.emit(Event{Kind: RepositoryDown, Repository: s.c.Name, Text: "the repository cannot be written; trying again, the spool keeps its log", Err: err})
	}
	s.synced, s.wrote = false, false // the outcome of what failed is not known
	s.a.changed.wake()
	return s.a.c.delay(n)
}

func (s *shipper) well() {
	if since := s.outage.end(); !since.IsZero() {
		s.a.emit(Event{Kind: RepositoryUp, Repository: s.c.Name, Text: fmt.Sprintf("the repository is written again after %s", s.a.c.Now().Sub(since).Round(time.Millisecond))})
	}
}

// step does what is due and says how long nothing else is.
func (s *shipper) step(ctx context.Context) (time.Duration, error) {
	if err := s.sync(ctx); err != nil {
		return 0, err
	}
	if !s.synced {
		return time.Second, nil // the spool's line is not settled yet
	}
	for {
		if err := s.shipSegments(ctx); err != nil {
			return 0, err
		}
		if err := s.extendNext(); err != nil {
			return 0, err
		}
		if passed, err := s.passBreak(ctx); err != nil {
			return 0, err
		} else if !passed {
			break
		}
	}
	return s.shipTip(ctx)
}

// extendNext takes what is new in the spool, up to where the next full segment ends.
func (s *shipper) extendNext() error {
	left := room(s.tips, s.a.c.SegmentBytes)
	if s.next.bytes >= left {
		return nil
	}
	return s.next.extend(s.a.sp, left)
}

// shipSegments appends the full segments that the repository lacks.
func (s *shipper) shipSegments(ctx context.Context) error {
	for {
		seg, ok := s.a.shelf.after(s.segments.Position)
		if !ok || s.beyondBreak(seg.Segment) {
			return nil
		}
		if err := s.shipSegment(ctx, seg); err != nil {
			return err
		}
		if err := s.a.release(); err != nil {
			s.a.c.Log.Warn("release spool", "source", s.a.c.Source, "err", err)
		}
		s.a.changed.wake()
	}
}

// shipSegment brings the repository to the end of a segment, or nearer to it.
func (s *shipper) shipSegment(ctx context.Context, seg sealedSegment) error {
	ctx, cancel := context.WithTimeout(ctx, tipDeadline+time.Duration(seg.Segment.Bytes/slowest)*time.Second)
	defer cancel()
	if !seg.Segment.From.Equal(s.segments.Position) {
		own, remove, err := s.sealOwn(ctx, seg.Segment)
		var unjoined *unjoinedError
		if err != nil && !errors.As(err, &unjoined) {
			return err
		}
		if err == nil {
			defer remove()
			seg = own
		}
	}
	if err := s.splitTips(ctx, seg.Segment); err != nil {
		return err
	}
	end := history.Moment{Position: seg.Segment.To, Time: seg.Segment.Until}
	if _, err := s.repo.AppendSegment(ctx, seg.Sealed, seg.open, end); err != nil {
		return err
	}
	s.appended(end, seg.Size)
	return nil
}

// sealOwn seals a segment for this repository alone: what is missing in front of seg, or what of seg is not here yet.
// The log must join, and this repository has not been with the others from the beginning.
func (s *shipper) sealOwn(ctx context.Context, seg history.Segment) (sealedSegment, func(), error) {
	own, to := spanAt(s.segments), seg.To
	if s.segments.Position.Before(seg.From) {
		to = seg.From
	}
	if err := own.extendTo(s.a.sp, to, s.a.c.SegmentBytes); err != nil {
		return sealedSegment{}, nil, err
	}
	if !own.from.Equal(s.segments.Position) || own.bytes == 0 {
		return sealedSegment{}, nil, &unjoinedError{s.segments.Position}
	}
	sealed, open, remove, err := s.seal(ctx, own)
	return sealedSegment{Sealed: sealed, opener: open}, remove, err
}

// appended notes that the repository has full segments up to end.
func (s *shipper) appended(end history.Moment, size int64) {
	if known := s.durableEnd().Position; known.Before(end.Position) {
		s.sample(func(yield func(spool.Entry) bool) {
			for e, err := range s.a.sp.Read(known) {
				if err != nil || !yield(e) {
					return
				}
			}
		}, end.Position)
	}
	s.segments = end
	s.tips = slices.DeleteFunc(s.tips, func(t tip) bool { return !end.Position.Before(t.to) })
	if s.next.from.Before(end.Position) {
		s.next = spanAt(end)
	}
	s.update(func(v *view) {
		v.full++
		v.stored += size
		v.segments, v.tips = end, len(s.tips)
		if v.durable.Position.Before(end.Position) {
			v.durable = end
		}
	})
}

// beyondBreak reports whether a line ends between what the repository has and seg: that is recorded first.
func (s *shipper) beyondBreak(seg history.Segment) bool {
	return !s.segments.Position.IsZero() && seg.From.Timeline != s.segments.Position.Timeline && s.segments.Position.Before(seg.From)
}

// passBreak goes on to the next line of log when all of the one before is there in full segments.
func (s *shipper) passBreak(ctx context.Context) (bool, error) {
	brk := s.next.brk
	if brk == nil || s.next.bytes > 0 || len(s.tips) > 0 {
		return false, nil
	}
	if err := s.recordBreak(ctx, brk); err != nil {
		return false, err
	}
	s.segments = history.Moment{Position: brk.Piece.To, Time: brk.Piece.Until}
	s.next = lineAt(brk.Piece.To, brk.Piece.Until, brk.After)
	forked := brk.Piece.Fork != nil
	s.update(func(v *view) {
		if forked {
			v.segments, v.durable = s.segments, s.segments
		} else {
			v.enter(s.segments)
		}
	})
	if err := s.a.release(); err != nil {
		return false, err
	}
	s.wantCopies()
	return true, nil
}

// recordBreak lists what was lost between two lines of log, or where the second leaves the first.
func (s *shipper) recordBreak(ctx context.Context, brk *spool.Entry) error {
	ctx, end := context.WithTimeout(ctx, tipDeadline)
	defer end()
	switch {
	case brk.Gap != nil:
		return s.repo.RecordGap(ctx, *brk.Gap)
	case brk.Piece.Fork != nil:
		return s.repo.RecordFork(ctx, *brk.Piece.Fork)
	default:
		return nil
	}
}

func (s *shipper) intervals() (tip, beat time.Duration) {
	p := s.repo.Store().Properties()
	if tip = s.c.TipInterval; tip <= 0 {
		if tip = p.TipInterval; tip <= 0 {
			tip = time.Second
		}
	}
	if beat = s.c.Heartbeat; beat <= 0 {
		if beat = time.Minute; p.Local {
			beat = 30 * time.Second
		}
	}
	return tip, beat
}
