package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
)

// keeper takes bases, one at a time.
type keeper struct {
	a    *Archive
	turn chan struct{} // holds a token while no base is being taken

	mu      sync.Mutex
	job     *job
	wanted  chan struct{}
	commits sync.WaitGroup // of bases that wait for their log

	source engine.Source // nil while there is none
	inside context.Context
	leaves context.CancelCauseFunc
	using  *user     // the base that is being taken; nil while none is
	tries  int       // commits that failed in a row
	busy   int       // bases being taken or waiting for their log
	healed time.Time // when a base was last taken because one was missing

	beginning chan struct{} // closed when the base that begins a line is committed or given up; nil while there is none
}

// job is one base, which several callers may wait for.
type job struct {
	done chan struct{}
	base history.Base
	err  error

	taken bool // it only waits for its log
	asked bool // somebody outside wants it
}

func newKeeper(a *Archive) *keeper {
	k := &keeper{a: a, turn: make(chan struct{}, 1), wanted: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	return k
}

// Backup takes a full base now, or waits for the one that is being taken. The archive must be running. Ending ctx ends
// the wait, not the base.
func (a *Archive) Backup(ctx context.Context) (history.Base, error) {
	j := a.keeper.request(true)
	select {
	case <-ctx.Done():
		return history.Base{}, ctx.Err()
	case <-a.draining:
		return history.Base{}, fmt.Errorf("take base of %s: %w", a.c.Source, context.Canceled)
	case <-j.done:
		return j.base, j.err
	}
}

// request begins a job or joins the one there is; asked says that somebody outside wants it.
func (k *keeper) request(asked bool) *job {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.job == nil {
		k.job = &job{done: make(chan struct{})}
		k.want()
	}
	k.job.asked = k.job.asked || asked
	return k.job
}

// want wakes run.
func (k *keeper) want() {
	select {
	case k.wanted <- struct{}{}:
	default:
	}
}

// finish ends the job that is under way, if any.
func (k *keeper) finish(b history.Base, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tries = 0
	if k.job != nil {
		k.job.base, k.job.err = b, err
		close(k.job.done)
		k.job = nil
	}
}

// enter hands over a connected source; ctx ends with the daemon.
func (k *keeper) enter(ctx context.Context, s engine.Source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.source = s
	k.inside, k.leaves = context.WithCancelCause(ctx)
}

// user is a base that is being taken from a source.
type user struct {
	source engine.Source
	give   context.CancelCauseFunc
	left   bool          // the session of the source has ended: it is closed with the base
	done   chan struct{} // closed when the base is taken or given up
}

// use notes that a base is being taken from a source, until ended is called. It reports false where the session of the source has ended. The
// caller holds the turn.
func (k *keeper) use(s engine.Source) (ended func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.source != s {
		return nil, false
	}
	u := &user{source: s, give: k.leaves, done: make(chan struct{})}
	k.using = u
	return func() {
		k.mu.Lock()
		k.using = nil
		k.mu.Unlock()
		if u.left {
			k.a.close(s)
		}
		close(u.done)
	}, true
}

// giveUp ends the base that is being taken, if any, as it can be of no use any more.
func (k *keeper) giveUp(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.using != nil {
		k.using.give(why)
	}
}

// giveUpLeft does so with one that outlived its session.
func (k *keeper) giveUpLeft(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.using != nil && k.using.left {
		k.using.give(why)
	}
}

// leave takes the source back at the end of its session. A base that lasts goes on and closes the source when it ends; any other ends before
// leave returns. It reports whether the source is left to a base.
func (k *keeper) leave() bool {
	k.mu.Lock()
	u := k.using
	if u != nil && u.source != k.source { // of an earlier session
		u = nil
	}
	_, lasts := k.source.(engine.Lasting)
	k.source = nil
	if u != nil && lasts {
		u.left = true
		k.mu.Unlock()
		return true
	}
	if k.leaves != nil {
		k.leaves(nil)
	}
	k.mu.Unlock()
	if u != nil {
		<-u.done
	}
	return false
}

func (k *keeper) current() (engine.Source, context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.source, k.inside
}

// run takes the bases that are asked for while the source is followed.
func (k *keeper) run(ctx context.Context) {
	defer k.commits.Wait()
	for {
		select {
		case <-ctx.Done():
			k.finish(history.Base{}, ctx.Err())
			return
		case <-k.wanted:
		}
		source, inside, ok := k.awaitSource(ctx)
		if !ok {
			continue
		}
		k.serve(inside, source)
	}
}

// awaitSource waits until the source is followed. Before it has shown that it can go on where the log ended nobody knows on which line a base
// would stand.
func (k *keeper) awaitSource(ctx context.Context) (engine.Source, context.Context, bool) {
	for {
		wake := k.a.changed.wait()
		k.a.mu.Lock()
		joined := k.a.joined
		k.a.mu.Unlock()
		if source, inside := k.current(); source != nil && joined {
			return source, inside, true
		}
		select {
		case <-ctx.Done():
			k.finish(history.Base{}, ctx.Err())
			return nil, nil, false
		case <-wake:
		}
	}
}

func (k *keeper) serve(ctx context.Context, source engine.Source) {
	if !k.awaitBeginning(ctx) {
		k.want()
		return
	}
	<-k.turn
	ended, ok := k.use(source)
	if !ok {
		k.turn <- struct{}{}
		k.want()
		return
	}
	k.mu.Lock()
	wanted := k.job != nil && !k.job.taken // a base taken for a new line may have served it
	if wanted {
		k.job.taken = true
	}
	k.mu.Unlock()
	if !wanted {
		ended()
		k.turn <- struct{}{}
		return
	}
	t, err := k.takeFor(ctx, source, &engine.BaseOptions{Type: history.Full, After: k.a.sp.Bookmark().Position})
	ended()
	k.turn <- struct{}{}
	if err != nil {
		k.finish(history.Base{}, err)
		return
	}
	k.commits.Go(func() { k.commit(t) })
}

// takeFor takes a base, with Config.Own around it if nobody asked for one. The caller holds the turn.
func (k *keeper) takeFor(ctx context.Context, source engine.Source, o *engine.BaseOptions) (t *taken, err error) {
	k.mu.Lock()
	asked := k.job != nil && k.job.asked
	k.mu.Unlock()
	if asked || k.a.c.Own == nil {
		return k.take(ctx, source, o)
	}
	err = k.a.c.Own(ctx, func(ctx context.Context) error {
		t, err = k.take(ctx, source, o)
		return err
	})
	return t, err
}

// taken is a base that has been copied out of the source and is not committed yet.
type taken struct {
	to    *shipper
	w     *repository.BaseWriter
	res   engine.BaseResult
	began time.Time
	ended time.Time // of the copy
}

// take copies the source into the first repository that accepts it. The caller holds the turn, and commits what was
// taken or gives it up.
func (k *keeper) take(ctx context.Context, source engine.Source, o *engine.BaseOptions) (*taken, error) {
	k.count(+1)
	var errs []error
	for _, s := range k.byFavour() {
		r := s.opened()
		if r == nil {
			errs = append(errs, fmt.Errorf("repository %s is not open", s.c.Name))
			continue
		}
		t := &taken{to: s, began: k.a.c.Now()}
		refused, err := k.takeInto(ctx, source, *o, r, t)
		if err == nil {
			return t, nil
		}
		if why := context.Cause(ctx); why != nil {
			err = why
		}
		k.a.emit(Event{Kind: BaseFailed, Repository: s.c.Name, Text: "the base was not taken", Err: err})
		errs = append(errs, fmt.Errorf("repository %s: %w", s.c.Name, err))
		if refused {
			s.refuseBase()
		}
		if !refused || ctx.Err() != nil {
			break
		}
	}
	k.count(-1)
	return nil, fmt.Errorf("take base of %s: %w", k.a.c.Source, errors.Join(errs...))
}

// byFavour lists the repositories in the order of the configuration, those that refused a base of late at the end.
func (k *keeper) byFavour() []*shipper {
	list := slices.Clone(k.a.shippers)
	slices.SortStableFunc(list, func(a, b *shipper) int { return a.look().refused.Compare(b.look().refused) })
	return list
}

func (k *keeper) count(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy += n
}

// takeInto reports whether it was the repository that failed.
func (k *keeper) takeInto(ctx context.Context, source engine.Source, o engine.BaseOptions, r *repository.Repository, t *taken) (refused bool, err error) {
	w, err := r.NewBase(k.a.workCtx())
	if err != nil {
		return true, err
	}
	k.a.emit(Event{Kind: BaseStarted, Repository: t.to.c.Name, Text: "taking a full base"})
	sink := &baseSink{w: w}
	stop := k.progress(t.to, w)
	t.w = w
	t.res, err = source.TakeBase(ctx, o, sink)
	stop()
	t.ended = k.a.c.Now()
	if err != nil {
		return sink.failed, errors.Join(err, w.Abort())
	}
	return false, nil
}

// progress tells once a second how far the base has come, until it is stopped.
func (k *keeper) progress(s *shipper, w *repository.BaseWriter) (stop func()) {
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				k.a.emit(Event{Kind: BaseProgress, Repository: s.c.Name, Done: w.Stored(), Text: "taking a full base"})
			}
		}
	})
	return func() { close(end); done.Wait() }
}

// commit makes a base exist once the log up to its stop is durable beside it.
func (k *keeper) commit(t *taken) {
	defer func() {
		k.count(-1)
		for _, s := range k.a.shippers {
			s.wantCopies()
		}
	}()
	var err error
	ctx := k.a.workCtx()
	if !t.res.Base.Start.Equal(t.res.Base.Stop) {
		err = k.a.waitDurable(ctx, []*shipper{t.to}, 1, t.res.Base.Stop)
	}
	var b history.Base
	waited := k.a.c.Now()
	if err == nil {
		b, err = t.w.Commit(ctx, t.res.Base)
	}
	if err != nil {
		err = errors.Join(err, t.w.Abort())
		k.a.emit(Event{Kind: BaseFailed, Repository: t.to.c.Name, Text: "the base was not kept", Err: err})
		t.to.refuseBase()
		if !k.retry() {
			k.finish(history.Base{}, err)
		}
		return
	}
	now := k.a.c.Now()
	took := now.Sub(t.began)
	k.a.emit(Event{Kind: BaseDone, Repository: t.to.c.Name, Done: b.StoredBytes, Took: Took{Copy: t.ended.Sub(t.began), Wait: waited.Sub(t.ended), Commit: now.Sub(waited)},
		Text: fmt.Sprintf("base %s at %s: %d bytes, %d stored, in %s", b.ID, b.Stop.Plain(), b.Bytes, b.StoredBytes, took.Round(time.Millisecond))})
	if len(t.res.Damage) > 0 {
		k.a.emit(Event{Kind: BaseDamaged, Repository: t.to.c.Name, Text: fmt.Sprintf(
			"the source is damaged, and base %s of it too: %s", b.ID, strings.Join(t.res.Damage, "; "))})
	}
	t.to.hasBase(b)
	k.finish(b, nil)
}

// retry asks for another base in place of one that could not be committed, as long as there are repositories that were
// not tried. Whoever waits goes on waiting.
func (k *keeper) retry() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tries++
	if k.tries >= len(k.a.shippers) {
		return false
	}
	if k.job == nil {
		k.job = &job{done: make(chan struct{})}
	}
	k.job.taken = false
	k.want()
	return true
}

// baseSink passes files on and remembers whether the repository failed.
type baseSink struct {
	w      *repository.BaseWriter
	failed bool
}

func (s *baseSink) Put(ctx context.Context, f engine.File, r io.Reader) error {
	err := s.w.Put(ctx, f, r)
	s.failed = s.failed || err != nil
	return err
}
