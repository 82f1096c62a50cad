package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
)

const (
	copiesTick  = 5 * time.Minute  // how often bases are compared with the other repositories' when nothing asks for it
	copiesSoon  = 10 * time.Second // how often while one is missing
	copiesStall = 5 * time.Minute  // a copy that makes no progress for so long is given up
	healEvery   = 10 * time.Minute // how often a base is taken because none is there
)

// wantCopies asks to look whether a base is missing.
func (s *shipper) wantCopies() {
	select {
	case s.copyNow <- struct{}{}:
	default:
	}
}

// hasBase notes that a base was committed here. A statement of completeness follows at once: until then it is not known
// that nothing was committed between the one before and the base.
func (s *shipper) hasBase(b history.Base) {
	s.a.closeGap(b)
	s.update(func(v *view) { v.take(b); v.lastBase, v.owed, v.newest = s.a.c.Now(), b.StopTime, b })
	select {
	case s.beatNow <- struct{}{}:
	default:
	}
}

// refuseBase notes that a base could not be kept here.
func (s *shipper) refuseBase() {
	s.update(func(v *view) { v.refused = s.a.c.Now() })
}

// runCopies sees to it that the repository has a base that its log joins.
func (s *shipper) runCopies(ctx context.Context) {
	for ctx.Err() == nil {
		wait := time.Duration(copiesTick)
		if s.opened() != nil && s.a.isSettled() && !s.a.isDraining() {
			missing, err := s.copyBases(ctx)
			switch {
			case err != nil && ctx.Err() == nil:
				wait = max(copiesSoon, s.a.c.delay(s.copying.fail(err, s.a.c.Now())))
				s.a.c.Log.Warn("copy base", "source", s.a.c.Source, "repository", s.c.Name, "err", err)
			case missing:
				wait = copiesSoon
			default:
				wait = s.quiet(ctx)
			}
		} else {
			wait = time.Second
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.copyNow:
		}
		timer.Stop()
	}
}

// quiet is what is done while nothing is missing. It returns how long nothing else is.
func (s *shipper) quiet(ctx context.Context) time.Duration {
	s.copying.end()
	more, err := s.fill(ctx)
	if err != nil && ctx.Err() == nil {
		s.a.c.Log.Warn("fill with older history", "source", s.a.c.Source, "repository", s.c.Name, "err", err)
	}
	if more {
		return time.Second
	}
	s.sweep(ctx)
	return copiesTick
}

func (a *Archive) isSettled() bool {
	select {
	case <-a.settled:
		return true
	default:
		return false
	}
}

// facts reads what a repository has.
func (s *shipper) facts(ctx context.Context, r *repository.Repository) (history.History, error) {
	ctx, cancel := context.WithTimeout(ctx, openDeadline)
	defer cancel()
	facts, err := r.Facts(ctx)
	return facts.History, err
}

// copyBases copies the newest base of the others if it is newer than what is here, and asks for a new one where no
// repository has any that the log joins. It reports whether one is missing still.
func (s *shipper) copyBases(ctx context.Context) (missing bool, err error) {
	mine, err := s.facts(ctx, s.opened())
	if err != nil {
		return true, err
	}
	newest, reached := newestBase(mine), reaches(mine)
	for _, peer := range s.a.peers(s) {
		theirs, err := s.facts(ctx, peer)
		if err != nil {
			continue // its own shipper tells
		}
		b := newestBase(theirs)
		if b.ID == "" || b.ID == newest.ID || newest.ID != "" && !newer(b, newest) {
			continue
		}
		if err := s.copyBase(ctx, peer, b); err != nil {
			return true, err
		}
		newest, reached = b, true
	}
	if newest.ID != "" && newest.Start.Before(s.a.sp.Stats().First) && !reaches(mine) {
		if tips, _, err := s.copyLog(ctx, newest.Start, s.a.sp.Stats().First); tips || err != nil {
			return true, err
		}
	}
	now := s.a.c.Now()
	switch {
	case reached:
		s.lacks = time.Time{}
	case s.lacks.IsZero():
		s.lacks = now
	case now.Sub(s.lacks) >= copiesSoon && s.a.keeper.mayHeal(): // one that was being committed would be here by now
		s.a.keeper.request(false)
	}
	return !reached, nil
}

// newer reports whether a stands later than b.
func newer(a, b history.Base) bool {
	return b.Stop.Before(a.Stop) || b.Stop.Equal(a.Stop) && b.StopTime.Before(a.StopTime)
}

// reaches reports whether some window goes up to the newest log there is.
func reaches(h history.History) bool {
	var top history.Position
	for _, seg := range h.Segments {
		if top.Before(seg.To) {
			top = seg.To
		}
	}
	for _, g := range h.Gaps {
		if top.Before(g.To) {
			top = g.To
		}
	}
	for _, w := range h.Windows() {
		if !w.End.Before(top) {
			return true
		}
	}
	return false
}

func newestBase(h history.History) history.Base {
	var newest history.Base
	for _, b := range h.Bases {
		if newest.ID == "" || newer(b, newest) {
			newest = b
		}
	}
	return newest
}

// copyBase copies one base, and takes it for the newest.
func (s *shipper) copyBase(ctx context.Context, from *repository.Repository, b history.Base) error {
	if err := s.carryBase(ctx, from, b); err != nil {
		return err
	}
	s.hasBase(b)
	return nil
}

// carryBase copies one base; it is given up when it makes no progress.
func (s *shipper) carryBase(ctx context.Context, from *repository.Repository, b history.Base) error {
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	stall := time.AfterFunc(copiesStall, func() { give(fmt.Errorf("no progress for %s", copiesStall)) })
	defer stall.Stop()
	err := s.opened().CopyBase(ctx, from, b.ID, func(int64, int64) { stall.Reset(copiesStall) })
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	s.a.emit(Event{Kind: BaseCopied, Repository: s.c.Name, Done: b.StoredBytes, Text: "copied base " + b.ID + " from another repository"})
	return nil
}

// copyLog copies from the other repositories the full segments that lie between from and to and are not here. It
// reports whether some of it is still in tips there: the spool has it no longer, so they will be made segments; and
// whether some repository could not be asked.
func (s *shipper) copyLog(ctx context.Context, from, to history.Position) (tips, unread bool, err error) {
	mine, err := s.facts(ctx, s.opened())
	if err != nil {
		return false, false, err
	}
	here := map[string]bool{}
	for _, seg := range mine.Segments {
		here[seg.Name] = true
	}
	peers := s.a.peers(s)
	unread = len(peers) < len(s.a.shippers)-1
	for _, peer := range peers {
		theirs, err := s.facts(ctx, peer)
		if err != nil {
			unread = true // its own shipper tells
			continue
		}
		if err := s.copyForks(ctx, mine.Forks, theirs.Forks, to); err != nil {
			return false, unread, err
		}
		for _, seg := range theirs.Segments {
			if here[seg.Name] || !from.Before(seg.To) || !seg.From.Before(to) {
				continue
			}
			if seg.Tip {
				tips = tips || !to.Before(seg.To)
				continue
			}
			if err := s.copySegment(ctx, peer, seg); err != nil {
				return false, unread, err
			}
			here[seg.Name] = true
		}
	}
	return tips, unread, nil
}

// copyForks lists here where timelines up to that of to begin, as another repository knows it.
func (s *shipper) copyForks(ctx context.Context, mine, theirs []history.Fork, to history.Position) error {
	for _, fork := range theirs {
		if fork.Child > to.Timeline || slices.Contains(mine, fork) {
			continue
		}
		if err := s.opened().RecordFork(ctx, fork); err != nil {
			return err
		}
	}
	return nil
}

func (s *shipper) copySegment(ctx context.Context, from *repository.Repository, seg history.Segment) error {
	ctx, cancel := context.WithTimeout(ctx, tipDeadline+time.Duration(seg.StoredBytes/slowest)*time.Second)
	defer cancel()
	err := s.opened().CopySegment(ctx, from, seg)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // dropped there meanwhile
	}
	return err
}

// mayHeal reports whether a base may be taken because one is missing, and counts it.
func (k *keeper) mayHeal() bool {
	k.a.mu.Lock()
	joined := k.a.joined
	k.a.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.a.c.Now()
	if !joined || k.busy > 0 || k.job != nil || !k.healed.IsZero() && now.Sub(k.healed) < healEvery {
		return false
	}
	k.healed = now
	return true
}
