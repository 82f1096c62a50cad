package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Bounds are how many jobs run at once.
type Bounds struct {
	All   int            // less than 1 means 4
	Class map[string]int // by Job.Class; a class that is not named, or less than 1, has only the bound on all
}

// keeper remembers states.
type keeper interface {
	// Load returns all that was saved.
	Load(ctx context.Context) (map[ID]State, error)
	// Save replaces the states of these jobs, all or none, durably. One call comes after the other.
	Save(ctx context.Context, states map[ID]State) error
}

// Config is what a Runner works with.
type Config struct {
	Jobs   []Job
	Bounds Bounds
	Keep   keeper

	// Do carries one task out, on a goroutine of its own, and returns when nothing of it is left running. When ctx ends it
	// stops as soon as it safely can; the cause is an *OverranError, a *PausedError, or that of the runner's end.
	// Running a task twice changes nothing: after a crash it may have been finished already.
	Do func(ctx context.Context, task Task) error

	Zone *time.Location   // of expressions that name none; nil means the host's
	Now  func() time.Time // nil means time.Now
	Log  *slog.Logger     // nil means no log
}

// Task is one run.
type Task struct {
	Job      Job
	Decision Decision // why it runs
	Before   State    // as it was
}

// Resumes reports whether an earlier run of it, which began at Before.Start, was interrupted: Do goes on with what that left, or rolls
// it back and begins anew.
func (t Task) Resumes() bool { return t.Before.Outcome == Interrupted }

// Runner carries out what Due says: one job a source, so many in all and of each class, the one that is due for longest first.
// It remembers a run before it begins and after it ended. A state that cannot be saved costs no run: the log says so, and
// it is tried again.
//
//	asleep ──its time──▶ judged ──start──▶ ready ──a place is free──▶ running ──▶ asleep
//	                       └──it waits for another job──▶ parked ──that one ended──▶ judged
type Runner struct {
	c    Config
	wake chan struct{}

	saving sync.Mutex // held while states are saved; taken before mu

	mu      sync.Mutex
	t       *table
	states  map[ID]State // of sources, and of jobs that are not configured any more
	line    line
	running map[ID]*run
	clock   clockWatch
	dirty   map[ID]bool // changed since they were saved
	begun   []*run      // decided, not on its way yet
	ended   bool        // Run has ended, or ends: nothing begins
}

// run is one task on its way.
type run struct {
	task   Task
	cancel context.CancelCauseFunc // nil until it is on its way
	stop   error                   // the cause with which to cancel it once it is; nil for none
}

// New returns a runner that has loaded what is remembered and has started nothing.
func New(ctx context.Context, c Config) (*Runner, error) {
	if c.Zone == nil {
		c.Zone = time.Local
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Bounds.All < 1 {
		c.Bounds.All = 4
	}
	if err := Validate(c.Jobs); err != nil {
		return nil, err
	}
	states, err := c.Keep.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load what the scheduler remembers: %w", err)
	}
	r := &Runner{c: c, wake: make(chan struct{}, 1), states: states, running: map[ID]*run{}, dirty: map[ID]bool{}}
	if r.states == nil {
		r.states = map[ID]State{}
	}
	for _, j := range c.Jobs {
		if s := r.states[j.ID]; s.Running {
			r.states[j.ID] = s.Crashed(j)
			r.dirty[j.ID] = true
		}
	}
	now := r.now()
	r.clock.set(now)
	r.setJobs(c.Jobs, now)
	return r, nil
}

// errEnd is the cause of tasks that are to stop because the runner ends.
var errEnd = errors.New("the daemon ends")

// Run carries out what is due until ctx ends, then has what is running stop, waits for it, and returns nil. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.end(cancel)
			tasks.Wait()
			r.save(work)
			return nil
		case <-timer.C:
		case <-r.wake:
		}
		begun, wait := r.step()
		for _, b := range begun {
			tasks.Go(func() { r.carry(work, b) })
		}
		if len(begun) == 0 && r.unsaved() {
			tasks.Go(func() { r.trySave(work) })
		}
		timer.Reset(wait)
	}
}

func (r *Runner) end(cancel context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	cancel(errEnd)
}

// now is the wall clock's time in the zone of the jobs. Without the monotonic reading times compare by what clocks show.
func (r *Runner) now() time.Time { return r.c.Now().Round(0).In(r.c.Zone) }

// lookEvery bounds how late a change of the wall clock is seen, such as after the host slept: timers do not count that.
const lookEvery = time.Minute

// step decides what begins now, and how long nothing else can.
func (r *Runner) step() ([]*run, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if jump := r.clock.jumped(now); jump != 0 {
		r.c.Log.Warn("the clock jumped", "by", jump, "now", now)
		r.lookAtAll(now)
	}
	r.line.look(now, func(e *entry) { r.place(e, now) })
	for !r.ended && len(r.running) < r.c.Bounds.All {
		e := r.line.first(r.c.Bounds)
		if e == nil {
			break
		}
		r.place(e, now)
		if e.in == nil || e.in == &r.line.asleep {
			continue // its source got busy while it waited for a place
		}
		r.begin(e, now)
	}
	begun := r.begun
	r.begun = nil
	return begun, r.line.wait(now, lookEvery)
}

// place judges e and puts it where it belongs.
func (r *Runner) place(e *entry, now time.Time) Decision {
	d := r.t.judge(e, now)
	switch {
	case d.Act == Running || d.Act == Stop:
		r.line.remove(e)
	case d.Act == Start:
		since := d.Since
		if d.Cause == Request || d.Cause == Signal {
			since = time.Time{} // a person waits for it
		}
		r.line.ready(e, since)
	case d.Act == Hold && d.On != ID{}:
		r.line.park(e, d.On)
	case !d.Next.IsZero():
		r.line.sleep(e, later(d.Next, now.Add(time.Millisecond)))
	default:
		r.line.remove(e) // only something that happens changes it, and looks again
	}
	return d
}

func (r *Runner) begin(e *entry, now time.Time) {
	b := &run{task: Task{Job: e.job, Decision: r.t.judge(e, now), Before: e.state}}
	r.line.remove(e)
	r.line.busy(e.job.Class, 1)
	e.state, e.hasNext, e.cause = e.state.Started(now), false, b.task.Decision.Cause
	r.t.sources[e.job.ID.Source].busy = e
	r.running[e.job.ID] = b
	r.dirty[e.job.ID] = true
	r.begun = append(r.begun, b)
}

func (r *Runner) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
