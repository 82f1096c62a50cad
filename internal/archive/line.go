package archive

import (
	"context"
	"errors"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// begins notes that a base is being taken which begins a line. Whoever asks for one before that is committed is answered
// by it.
func (k *keeper) begins() (ended func()) {
	done := make(chan struct{})
	k.mu.Lock()
	k.beginning = done
	k.mu.Unlock()
	return func() { close(done) }
}

// awaitBeginning waits until no base that begins a line is under way. It reports false if ctx ended.
func (k *keeper) awaitBeginning(ctx context.Context) bool {
	k.mu.Lock()
	beginning := k.beginning
	k.mu.Unlock()
	if beginning == nil {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-beginning:
		return true
	}
}

// beginLine takes a base that begins a line of log: the first, or after a gap a new timeline. The line is durable
// before the base exists, so that no two bases ever begin the same one.
func (a *Archive) beginLine(ctx context.Context, source engine.Source, gap *history.GapError) error {
	k := a.keeper
	book := a.sp.Bookmark()
	o := engine.BaseOptions{Type: history.Full, After: book.Position}
	for _, s := range a.shippers {
		if m := s.topEnd(); o.After.Before(m.Position) {
			o.After = m.Position
		}
	}
	o.NewTimeline = gap != nil || !o.After.IsZero()
	if !a.waitOpened(ctx, 1, 0) {
		return ctx.Err()
	}
	<-k.turn
	ended := k.begins()
	t, err := k.take(ctx, source, o)
	k.turn <- struct{}{}
	if err != nil {
		ended()
		return err
	}
	// Where both stand at one position nothing was committed between them.
	if b := t.res.Base; b.Stop.Equal(t.res.Bookmark.Position) && b.StopTime.Before(t.res.Bookmark.Time) {
		t.res.Bookmark.Time = b.StopTime
	}
	var lost *history.Gap
	if gap != nil {
		lost = &history.Gap{From: book.Position, To: t.res.Bookmark.Position, Since: book.Time, Until: t.res.Base.StopTime, Reason: gap.Reason}
	}
	if err := a.persist(ctx, func() error { return a.sp.Reset(t.res.Bookmark, lost) }); err != nil {
		k.count(-1)
		ended()
		return errors.Join(err, t.w.Abort())
	}
	a.setWhole(history.Moment{Position: t.res.Bookmark.Position, Time: t.res.Bookmark.Time})
	a.appended.wake()
	k.commits.Go(func() {
		defer ended()
		k.commit(t)
	})
	return nil
}
