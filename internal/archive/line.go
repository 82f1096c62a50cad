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
	l := &newLine{a: a, book: book, gap: gap, ended: k.begins(), begun: make(chan struct{})}
	done := make(chan error, 1)
	_, inside := k.current()
	k.commits.Go(func() { l.base(inside, source, &o, used, done) })
	select {
	case <-l.begun:
		return nil
	case err := <-done:
		return err
	case <-ctx.Done():
		k.giveUp(context.Cause(ctx))
		return errors.Join(<-done, ctx.Err())
	}
}

// newLine is a line that a base begins. Where the source can say where at once, it is followed while the base is still being taken: else the
// source would have to keep all the log that is written meanwhile.
type newLine struct {
	a     *Archive
	book  engine.Bookmark // where the line before it ends
	gap   *history.GapError
	ended func()
	begun chan struct{} // closed when the line is durable
	on    bool          // it is
}

// base takes the base that begins the line, and commits it. done hears when the line can be followed at the latest, or why it cannot. The
// caller has the turn, which base gives back.
func (l *newLine) base(ctx context.Context, source engine.Source, o *engine.BaseOptions, used func(), done chan<- error) {
	defer l.ended()
	k := l.a.keeper
	o.Begun = func(b engine.Begun) error {
		// Nothing was committed after the source stood there that the line will not have.
		err := l.begin(engine.BaseResult{Base: history.Base{Stop: b.Stands, StopTime: b.Bookmark.Time}, Bookmark: b.Bookmark})
		if err == nil { // another try of the base is one beside the log
			*o = engine.BaseOptions{Type: o.Type, After: b.Bookmark.Position}
			close(l.begun)
		}
		return err
	}
	t, err := k.takeFor(ctx, source, o)
	used()
	k.turn <- struct{}{}
	if err != nil {
		if l.on { // the log is followed all the same: a base that is missing is taken later
			for _, s := range l.a.shippers {
				s.copying.fail(err, l.a.c.Now())
			}
		}
		done <- err
		return
	}
	if !l.on {
		if err := l.begin(t.res); err != nil {
			k.count(-1)
			done <- errors.Join(err, t.w.Abort())
			return
		}
	}
	done <- nil
	k.commit(t)
}

// begin makes the line durable.
func (l *newLine) begin(res engine.BaseResult) error {
	a := l.a
	begin, lost, err := joinLine(l.book, res, l.gap)
	if err != nil {
		return err
	}
	if err := a.persist(a.workCtx(), func() error { return a.sp.Reset(begin, lost) }); err != nil {
		return err
	}
	l.on = true
	a.setWhole(history.Moment{Position: begin.Position, Time: begin.Time})
	a.appended.wake()
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
