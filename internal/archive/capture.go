package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/spool"
)

// capture follows the source until ctx ends, whatever happens.
func (a *Archive) capture(ctx context.Context) {
	if !a.settle(ctx) {
		return
	}
	close(a.settled)
	a.changed.wake()
	for ctx.Err() == nil {
		err := a.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, engine.ErrMoved) {
			a.c.Log.Info("the source is followed at another of its servers", "source", a.c.Source, "why", err)
			a.keeper.giveUp(err)
			continue
		}
		var held *heldError
		if errors.As(err, &held) {
			a.letGo(ctx, held)
			continue
		}
		var full *spool.FullError
		if errors.As(err, &full) {
			a.waitForRoom(ctx, full.Need)
			continue
		}
		var refused *spool.WriteError
		if errors.As(err, &refused) {
			a.waitForDisk(ctx, refused)
			continue
		}
		if err == nil {
			err = errors.New("the engine stopped following without a reason")
		}
		failures := a.source.fail(err, a.c.Now()) // since something was shipped: how long a session took says nothing, it may be that of a base
		if failures == 1 {
			a.emit(Event{Kind: SourceDown, Text: "the source cannot be followed; trying again", Err: err})
		}
		_ = backoff.Sleep(ctx, a.c.delay(failures))
	}
}

// grace is how long repositories have, after the first of them was opened, to say what they know before the log is
// begun; shortGrace is how long where the spool knows where to go on.
const (
	grace      = 10 * time.Second
	shortGrace = 2 * time.Second
)

// settle makes the spool's line join what the repositories have: after the loss of the spool it goes on where the
// repositories end. It reports false if ctx ended.
func (a *Archive) settle(ctx context.Context) bool {
	book := a.sp.Bookmark()
	patience := grace
	if book.Position.IsZero() { // without any knowledge of its own it needs a repository's
		if !a.waitOpened(ctx, 1, 0) {
			return false
		}
	} else {
		patience = shortGrace
	}
	if !a.waitOpened(ctx, len(a.shippers), patience) {
		return false
	}
	top := a.shelf.end()
	for _, s := range a.shippers {
		if m := s.topEnd(); top.Position.Before(m.Position) {
			top = m
		}
	}
	if !book.Position.Before(top.Position) {
		return true
	}
	if !book.Position.IsZero() || a.sp.Stats().Journals > 0 {
		a.emit(Event{Kind: SpoolLost, Text: fmt.Sprintf("the spool ends at %s, a repository has the log up to %s: going on from there", book.Position, top.Position)})
	}
	for ctx.Err() == nil {
		err := a.persist(ctx, func() error { return a.sp.Reset(engine.Bookmark{Position: top.Position, Time: top.Time}, nil) })
		if err == nil {
			a.setWhole(top)
			return true
		}
	}
	return false
}

// waitOpened waits until n repositories have been opened, but not longer than limit unless that is zero. It reports
// false if ctx ended.
func (a *Archive) waitOpened(ctx context.Context, n int, limit time.Duration) bool {
	var late <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	for {
		wake, opened := a.changed.wait(), 0
		for _, s := range a.shippers {
			if s.opened() != nil {
				opened++
			}
		}
		if opened >= n {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-late:
			return true
		case <-wake:
		}
	}
}

// session connects and follows until something fails. Gaps are healed inside it.
func (a *Archive) session(ctx context.Context) (err error) {
	source, err := a.c.Connect(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.connected = source
	a.mu.Unlock()
	defer func() {
		stays := remains(source)
		a.mu.Lock()
		a.connected, a.following, a.joined, a.remains = nil, false, false, stays
		a.mu.Unlock()
		if !a.keeper.leave() {
			a.close(source)
		}
	}()
	if id, err := source.Identify(ctx); err == nil {
		a.mu.Lock()
		was := a.identity.SystemID
		a.identity = id
		a.mu.Unlock()
		if was != "" && id.SystemID != was {
			a.keeper.giveUp(fmt.Errorf("the source is another one now: its system identifier is %s and was %s", id.SystemID, was))
		}
	}
	a.keeper.enter(ctx, source)
	a.took()
	var aside sync.WaitGroup
	ctx, give := context.WithCancelCause(ctx)
	aside.Go(func() { a.advise(ctx, source) })
	aside.Go(func() { a.watchTaken(ctx, source, give) })
	defer func() {
		give(nil)
		aside.Wait()
		var held *heldError
		if errors.As(context.Cause(ctx), &held) {
			err = held
		}
	}()
	if a.sp.Bookmark().Position.IsZero() {
		if err := a.beginLine(ctx, source, nil); err != nil {
			return err
		}
	}
	for {
		err := a.follow(ctx, source)
		var gap *history.GapError
		if !errors.As(err, &gap) {
			return err
		}
		if at := a.sp.Bookmark().Position; at != a.gapAt { // told once, though healing it may take several tries
			a.gapAt = at
			a.openGap(gap)
			a.emit(Event{Kind: GapFound, Text: "the log cannot be continued; taking a new base", Err: err})
		}
		if err := a.beginLine(ctx, source, gap); err != nil {
			return err
		}
	}
}

// openGap notes that nothing which is committed from now on can be recovered until a base stands behind the gap.
func (a *Archive) openGap(gap *history.GapError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gap = gap
}

// closeGap notes a base that was kept.
func (a *Archive) closeGap(b history.Base) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gap != nil && a.gap.From.Before(b.Stop) {
		a.gap = nil
	}
}

func (a *Archive) close(source engine.Source) {
	if err := source.Close(); err != nil {
		a.c.Log.Warn("close source", "source", a.c.Source, "err", err)
	}
}

func (a *Archive) follow(ctx context.Context, source engine.Source) error {
	a.mu.Lock()
	a.following = true
	a.mu.Unlock()
	a.changed.wake()
	shipped := false
	err := source.Follow(ctx, a.sp.Bookmark(), func(ctx context.Context, pieces []engine.Piece) error {
		a.join()
		err := a.ship(ctx, pieces)
		if err == nil && !shipped {
			shipped = true
			if since := a.source.end(); !since.IsZero() {
				a.emit(Event{Kind: SourceUp, Text: fmt.Sprintf("the source is followed again after %s", a.c.Now().Sub(since).Round(time.Millisecond))})
			}
		}
		return err
	})
	a.mu.Lock()
	a.following, a.joined = false, false
	a.mu.Unlock()
	return err
}

// join notes that the log goes on where it ended: the engine has something to ship, if only that time went by.
func (a *Archive) join() {
	a.mu.Lock()
	was := a.joined
	a.joined = true
	a.mu.Unlock()
	if !was {
		a.changed.wake()
	}
}

// keepWhole writes down up to when nothing more was committed, so that after a restart the engine knows.
func (a *Archive) keepWhole() {
	book, whole := a.sp.Bookmark(), a.wholeMoment()
	if !whole.Position.Equal(book.Position) || !whole.Time.After(book.Time) || book.Position.IsZero() {
		return
	}
	p := engine.Piece{From: book.Position, To: book.Position, Since: book.Time, Until: whole.Time, Token: book.Token}
	if err := a.sp.Append(context.Background(), []engine.Piece{p}); err != nil {
		a.c.Log.Warn("append to spool", "source", a.c.Source, "err", err)
	}
}

// ship is engine.Ship: it returns when the pieces are durable where they must be.
func (a *Archive) ship(ctx context.Context, pieces []engine.Piece) error {
	if len(pieces) == 0 {
		return nil
	}
	last := pieces[len(pieces)-1]
	a.noteForks(pieces)
	keep := a.worthKeeping(pieces)
	if len(keep) > 0 {
		if err := a.persist(ctx, func() error { return a.sp.Append(ctx, keep) }); err != nil {
			return err
		}
		a.account(keep)
		a.watchSpool()
	}
	a.setWhole(history.Moment{Position: last.To, Time: last.Until})
	if len(keep) > 0 {
		a.appended.wake()
	}
	if a.c.Ack == AckRepository {
		if err := a.waitAcked(ctx, last.To); err != nil {
			return err
		}
	}
	a.took()
	return nil
}

// waitAcked waits until the log up to p is in as many repositories as a commit waits for.
func (a *Archive) waitAcked(ctx context.Context, p history.Position) error {
	return a.waitDurable(ctx, a.shippers, a.acked(), p)
}

// idleKept is how often a piece without data is written to the spool when it brings nothing but time.
const idleKept = 10 * time.Second

// worthKeeping leaves out pieces that only say that time went by, and joins what follows to what the spool has, so
// that no hole in time appears.
func (a *Archive) worthKeeping(pieces []engine.Piece) []engine.Piece {
	book := a.sp.Bookmark()
	whole := a.wholeMoment()
	var keep []engine.Piece
	for _, p := range pieces {
		if !p.Since.After(whole.Time) && p.Since.After(book.Time) {
			p.Since = book.Time // seen, but not written
		}
		whole.Time = p.Until
		idle := len(p.Data) == 0 && p.From.Equal(p.To) && len(p.Marks) == 0 && bytes.Equal(p.Token, book.Token)
		if idle && p.Until.Sub(book.Time) < idleKept && !p.Since.After(book.Time) {
			continue
		}
		keep = append(keep, p)
		book.Position, book.Token, book.Time = p.To, p.Token, p.Until
	}
	return keep
}

// account adds what was appended to the backlog.
func (a *Archive) account(pieces []engine.Piece) {
	var first time.Time
	total := int64(0)
	for i := range pieces {
		if len(pieces[i].Data) > 0 && first.IsZero() {
			first = firstCommit(&pieces[i])
		}
		total += int64(len(pieces[i].Data))
	}
	if total > 0 {
		a.backlog.add(pieces[len(pieces)-1].To, first, total)
	}
}

// noteForks remembers where the log of a timeline ends. The pieces are not durable yet, but no more of it will come.
func (a *Archive) noteForks(pieces []engine.Piece) {
	at := a.sp.Bookmark().Position
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range pieces {
		if pieces[i].Fork != nil {
			a.keeper.giveUpLeft(fmt.Errorf("the source went on to timeline %d", pieces[i].Fork.Child))
			a.left[at.Timeline] = at
		}
		at = pieces[i].To
	}
}

// waitDurable waits until the log up to p is durable in n of some repositories. It fails when that log will never come, because
// the source left p's timeline before it.
func (a *Archive) waitDurable(ctx context.Context, in []*shipper, n int, p history.Position) error {
	for {
		wake := a.changed.wait()
		have := 0
		for _, s := range in {
			if !s.durableEnd().Position.Before(p) {
				have++
			}
		}
		if have >= n {
			a.mu.Lock()
			end, left := a.left[p.Timeline]
			a.mu.Unlock()
			if left && end.Before(p) {
				return fmt.Errorf("wait for the log up to %s: the source went on to another timeline at %s", p.Plain(), end.Plain())
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

func (a *Archive) setWhole(m history.Moment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.whole = m
}

func (a *Archive) wholeMoment() history.Moment {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.whole
}

// waitForRoom stands still until repositories have taken enough that capture can go on with need bytes.
func (a *Archive) waitForRoom(ctx context.Context, need int64) {
	a.setFull(true)
	st := a.sp.Stats()
	began := a.c.Now()
	a.emit(Event{Kind: SpoolAlarm, Percent: 100, Text: fmt.Sprintf("the spool is full (%d bytes): the source is not followed until a repository has taken some of it; nothing in the spool is dropped", st.Bytes)})
	select {
	case a.cutNow <- struct{}{}:
	default:
	}
	held := a.watchHeld()
	defer held.stop()
	for ctx.Err() == nil {
		wake := a.changed.wait()
		if st = a.sp.Stats(); st.Bytes < st.MaxBytes*3/4 && (st.Bytes+need <= st.MaxBytes || st.First == st.Last) {
			break
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-held.tick.C:
			held.look(ctx)
		}
	}
	a.setFull(false)
	if ctx.Err() == nil {
		a.emit(Event{Kind: SpoolRoom, Text: fmt.Sprintf("the spool has room again after %s", a.c.Now().Sub(began).Round(time.Millisecond))})
	}
}

func (a *Archive) setFull(full bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.full = full
}

func (a *Archive) isFull() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.full
}
