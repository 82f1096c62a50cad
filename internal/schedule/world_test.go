package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world is a runner, what it remembers and what it did. Use it inside of a synctest bubble.
type world struct {
	t      *testing.T
	c      Config
	r      *Runner
	keep   *memory
	stop   context.CancelCauseFunc
	ended  chan struct{}
	offset time.Duration // of the wall clock

	mu   sync.Mutex
	runs []string
	act  map[string]func(ctx context.Context, task Task) error // by ID; others are done at once
	most int                                                   // tasks at a time
	now  int
	busy map[string]bool // sources
}

func newWorld(t *testing.T, jobs ...Job) *world {
	w := &world{t: t, keep: &memory{states: map[ID]State{}}, act: map[string]func(context.Context, Task) error{}, busy: map[string]bool{}}
	w.c = Config{Jobs: jobs, Keep: w.keep, Zone: time.UTC, Do: w.do, Now: func() time.Time { return time.Now().Add(w.offset) }}
	return w
}

// start runs the runner until the test ends it.
func (w *world) start() {
	w.t.Helper()
	r, err := New(w.t.Context(), w.c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	w.r, w.stop, w.ended = r, stop, make(chan struct{})
	go func() {
		defer close(w.ended)
		if err := r.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
}

func (w *world) end() {
	w.stop(errors.New("test ends"))
	<-w.ended
}

func (w *world) do(ctx context.Context, task Task) error {
	w.mu.Lock()
	id := task.Job.ID
	if w.busy[id.Source] && id.Source != "" {
		w.t.Errorf("%s begins while another job of its source runs", id)
	}
	w.busy[id.Source] = true
	w.now++
	w.most = max(w.most, w.now)
	w.runs = append(w.runs, fmt.Sprintf("%s %s %s", w.r.now().Format("02T15:04:05"), id, task.Decision.Cause))
	act := w.act[id.String()]
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy[id.Source] = false
		w.now--
	}()
	if s, err := w.keep.Load(ctx); err != nil || !s[id].Running {
		w.t.Errorf("%s begins before it is remembered that it does: %+v, %v", id, s[id], err)
	}
	if act == nil {
		return nil
	}
	return act(ctx, task)
}

// took returns what ran since it was last asked: when, what and why.
func (w *world) took() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	runs := w.runs
	w.runs = nil
	return runs
}

func (w *world) want(want ...string) {
	w.t.Helper()
	if got := w.took(); !slices.Equal(got, want) {
		w.t.Errorf("ran\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// memory is a keeper.
type memory struct {
	mu     sync.Mutex
	states map[ID]State
	err    error
	saves  int
}

func (m *memory) Load(context.Context) (map[ID]State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.states), nil
}

func (m *memory) Save(_ context.Context, states map[ID]State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.saves++
	maps.Copy(m.states, states)
	return nil
}

// job reads "orders base/full" and an expression, "" for none.
func job(t *testing.T, id, expr string, after ...string) Job {
	t.Helper()
	j := Job{ID: parseID(t, id)}
	if expr != "" {
		j.Expr = mustParse(t, expr)
	}
	for _, a := range after {
		j.After = append(j.After, parseID(t, a))
	}
	return j
}

// takes returns an act that lasts so long, and stops when it is told.
func takes(d time.Duration) func(context.Context, Task) error {
	return func(ctx context.Context, _ Task) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *world) jump(d time.Duration) {
	synctest.Wait()
	w.r.mu.Lock()
	w.offset += d
	w.r.mu.Unlock()
}
