package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/spool"
)

// Archive protects one source. Use New.
type Archive struct {
	c        Config
	shippers []*shipper
	keeper   *keeper

	sp      *spool.Spool
	shelf   *shelf
	backlog backlog
	source  outage
	gapAt   history.Position // the last gap that was told; capture's own

	appended signal        // the spool has more
	changed  signal        // a repository has more, was opened, or has a base; a segment was sealed
	cutNow   chan struct{} // the spool is nearly full
	settled  chan struct{} // closed when the spool's line is known to join what the repositories have
	draining chan struct{} // closed when capture has ended

	releasing sync.Mutex

	mu         sync.Mutex
	running    context.Context // of Run; nil before
	work       context.Context // ends when Run has shipped what it could
	connected  engine.Source   // nil while there is none
	following  bool
	gap        *history.GapError // that is being healed: no base stands behind it yet
	joined     bool              // the source has shown that it can go on where the log ended: a base may be taken beside it
	identity   engine.Identity
	whole      history.Moment // up to when nothing beyond the spool was committed
	alarm      int            // the last spool alarm given, in percent
	full       bool
	taken      time.Time                   // when a shipment was last where it must be, or a session began
	unfollowed engine.Status               // of the source when it was last asked while nothing is taken from it
	remains    string                      // what stays behind at the source, as known when it was connected last
	left       map[uint32]history.Position // by timeline: where its log ended when the source went on to another
}

// New returns an archive that does nothing yet.
func New(c Config) (*Archive, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.setDefaults()
	a := &Archive{c: c, cutNow: make(chan struct{}, 1), settled: make(chan struct{}), draining: make(chan struct{}), left: map[uint32]history.Position{}}
	for _, r := range c.Repos {
		a.shippers = append(a.shippers, &shipper{a: a, c: r, copyNow: make(chan struct{}, 1), beatNow: make(chan struct{}, 1)})
	}
	a.keeper = newKeeper(a)
	return a, nil
}

// ctx is the context of Run, for logging.
func (a *Archive) ctx() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running == nil {
		return context.Background()
	}
	return a.running
}

// workCtx is the context of what is finished even when Run is to end.
func (a *Archive) workCtx() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.work
}

// Run protects the source until ctx ends; then it ships what is in the spool for a bounded time. It returns nil when
// ctx ended, and an error if the spool cannot be opened. It may be called once.
func (a *Archive) Run(ctx context.Context) error {
	a.mu.Lock()
	if a.running != nil {
		a.mu.Unlock()
		return errors.New("protect " + a.c.Source + ": it runs already")
	}
	a.running = ctx
	a.mu.Unlock()
	if err := a.open(); err != nil {
		return fmt.Errorf("protect %s: %w", a.c.Source, err)
	}
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	a.mu.Lock()
	a.work = work
	a.mu.Unlock()
	var ships, others sync.WaitGroup
	for _, s := range a.shippers {
		ships.Go(func() { s.run(work) })
		others.Go(func() { s.runCopies(work) })
	}
	others.Go(func() { (&cutter{a: a}).run(work) })
	others.Go(func() { a.keeper.run(work) })
	a.capture(ctx)
	a.keepWhole()
	close(a.draining)
	flush := time.AfterFunc(a.c.Flush, end)
	ships.Wait()
	a.keeper.commits.Wait()
	flush.Stop()
	end()
	others.Wait()
	return a.sp.Close()
}

// open opens the spool and the shelf. A damaged spool is set aside: what the repositories have decides where the log
// goes on.
func (a *Archive) open() error {
	var err error
	if a.shelf, err = openShelf(filepath.Join(a.c.Dir, "sealed")); err != nil {
		return err
	}
	// At the bound what is left is cut too, and must fit beside the journals.
	o := spool.Options{MaxBytes: a.c.MaxSpool - a.c.SegmentBytes, Beside: a.shelf.held.Load}
	if a.c.sync != nil {
		o.Sync = a.c.sync
	}
	a.sp, err = spool.Open(a.c.Dir, o)
	var corrupt *spool.CorruptError
	if errors.As(err, &corrupt) {
		aside, asideErr := a.setAside()
		if asideErr != nil {
			return errors.Join(err, asideErr)
		}
		a.emit(Event{Kind: SpoolLost, Text: "the spool is damaged and was moved to " + aside, Err: err})
		a.sp, err = spool.Open(a.c.Dir, o)
	}
	if err != nil {
		return err
	}
	return a.recall()
}

// setAside moves the journals to a folder of their own.
func (a *Archive) setAside() (string, error) {
	aside := filepath.Join(a.c.Dir, "damaged-"+a.c.Now().UTC().Format("20060102T150405.000000Z"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(a.c.Dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "journal-") {
			if err := os.Rename(filepath.Join(a.c.Dir, e.Name()), filepath.Join(aside, e.Name())); err != nil {
				return "", err
			}
		}
	}
	return aside, nil
}

// recall fills the backlog with what was in the spool when it was opened.
func (a *Archive) recall() error {
	b := a.sp.Bookmark()
	a.mu.Lock()
	a.whole = history.Moment{Position: b.Position, Time: b.Time}
	a.mu.Unlock()
	for e, err := range a.sp.Read(history.Position{}) {
		if err != nil {
			return err
		}
		if e.Size > 0 {
			a.backlog.add(e.Piece.To, firstCommit(&e.Piece), e.Size)
		}
	}
	return nil
}

// firstCommit is when the oldest commit of a piece was made.
func firstCommit(p *engine.Piece) time.Time {
	for _, m := range p.Marks {
		if !m.Time.IsZero() {
			return m.Time
		}
	}
	return p.Until
}

// recipient is what segments are sealed with; nil before a repository has been opened.
func (a *Archive) recipient() *pack.SegmentSealer {
	for _, s := range a.shippers {
		if r := s.opened(); r != nil {
			sealer := r.Sealer()
			return &sealer
		}
	}
	return nil
}

// newestSegmentEnd is up to where some repository has full segments.
func (a *Archive) newestSegmentEnd() history.Moment {
	var newest history.Moment
	for _, s := range a.shippers {
		if m := s.segmentEnd(); newest.Position.Before(m.Position) {
			newest = m
		}
	}
	return newest
}

// peers gives the opened repositories but one.
func (a *Archive) peers(but *shipper) []*repository.Repository {
	var list []*repository.Repository
	for _, s := range a.shippers {
		if r := s.opened(); r != nil && s != but {
			list = append(list, r)
		}
	}
	return list
}

// release lets go of what every repository has in full segments.
func (a *Archive) release() error {
	a.releasing.Lock()
	defer a.releasing.Unlock()
	var to history.Position
	for i, s := range a.shippers {
		if p := s.segmentEnd().Position; i == 0 || p.Before(to) {
			to = p
		}
	}
	if to.IsZero() {
		return nil
	}
	a.backlog.release(to)
	if err := a.shelf.release(to); err != nil {
		return err
	}
	if err := a.sp.Release(to); err != nil {
		return err
	}
	a.watchSpool()
	return nil
}

// watchSpool gives the alarms of the spool, each once on the way up.
func (a *Archive) watchSpool() {
	st := a.sp.Stats()
	percent := int(st.Bytes * 100 / st.MaxBytes)
	a.mu.Lock()
	last := a.alarm
	switch {
	case percent >= 80:
		a.alarm = max(a.alarm, 80)
	case percent >= 50:
		a.alarm = max(min(a.alarm, 80), 50)
	case percent < 40:
		a.alarm = 0
	}
	now, full := a.alarm, a.full
	a.mu.Unlock()
	if percent >= 80 {
		select {
		case a.cutNow <- struct{}{}:
		default:
		}
	}
	if now > last && !full {
		a.emit(Event{Kind: SpoolAlarm, Percent: now, Text: fmt.Sprintf("the spool holds %d of %d bytes: a repository does not keep up", st.Bytes, st.MaxBytes)})
	}
}
