package archive

import (
	"context"
	"errors"
	"fmt"

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
	if gap != nil {
		k.giveUp(gap)
	}
	<-k.turn
	used, ok := k.use(source)
	if !ok {
		k.turn <- struct{}{}
		return ctx.Err()
	}
	ended := k.begins()
	t, err := k.takeFor(ctx, source, o)
	used()
	k.turn <- struct{}{}
	if err != nil {
		ended()
		return err
	}
	begin, lost, err := joinLine(book, t.res, gap)
	if err == nil {
		err = a.persist(ctx, func() error { return a.sp.Reset(begin, lost) })
	}
	if err != nil {
		k.count(-1)
		ended()
		return errors.Join(err, t.w.Abort())
	}
	a.setWhole(history.Moment{Position: begin.Position, Time: begin.Time})
	a.appended.wake()
	k.commits.Go(func() {
		defer ended()
		k.commit(t)
	})
	return nil
}

// joinLine is where the log goes on with a base that was taken because the line that ends at book could not be
// continued, or because there is none, and what was lost between the two.
func joinLine(book engine.Bookmark, res engine.BaseResult, gap *history.GapError) (engine.Bookmark, *history.Gap, error) {
	begin, base := res.Bookmark, res.Base
	// Where both stand at one position nothing was committed between them.
	if base.Stop.Equal(begin.Position) && base.StopTime.Before(begin.Time) {
		begin.Time = base.StopTime
	}
	if begin.Position.Timeline == book.Position.Timeline && begin.Position.Before(book.Position) {
		if base.Stop.Before(book.Position) {
			return begin, nil, &RewoundError{Had: book.Position, Stands: base.Stop}
		}
		// The base's log begins before the end of ours: nothing lies between them.
		return engine.Bookmark{Position: book.Position, Time: book.Time}, nil, nil
	}
	if gap == nil {
		return begin, nil, nil
	}
	return begin, &history.Gap{From: book.Position, To: begin.Position, Since: book.Time, Until: base.StopTime, Reason: gap.Reason}, nil
}

// RewoundError says that a source stands before what was captured of it, on the same timeline: two histories would
// have the same positions.
type RewoundError struct{ Had, Stands history.Position }

func (e *RewoundError) Error() string {
	return fmt.Sprintf("the source stands at position %s, but its log up to %s was captured already: it was put back to an earlier state without a new timeline", e.Stands.Plain(), e.Had.Plain())
}

// Hint says how both histories stay apart.
func (e *RewoundError) Hint() string {
	return "protect it under another name; what is in the repository under this one stays recoverable"
}
