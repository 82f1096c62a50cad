package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/policy"
	"github.com/backstaydb/backstay/internal/schedule"
)

// Book keeps what a watch remembers from one daemon to the next. Losing it loses no protection: jobs count as never done, and what
// was found is found again.
type Book interface {
	// Value returns what was set; nil if nothing was.
	Value(ctx context.Context, key string) ([]byte, error)
	// SetValue replaces a value, durably.
	SetValue(ctx context.Context, key string, value []byte) error
	// AddRun writes a run down, when it begins and again when it has ended.
	AddRun(ctx context.Context, r Run) error
}

// Run is one job that was carried out.
type Run struct {
	ID         string    `json:"id"`
	Source     string    `json:"source"`
	Kind       string    `json:"kind"`
	Repository string    `json:"repository,omitempty"`
	Why        string    `json:"why"`
	Began      time.Time `json:"began"`
	Ended      time.Time `json:"ended,omitzero"`
	Outcome    string    `json:"outcome,omitempty"` // done, failed, interrupted; "" while it runs
	Detail     string    `json:"detail,omitempty"`  // what came of it, in words
	Bytes      int64     `json:"bytes,omitempty"`
}

// states keeps the schedule's states in a book.
type states struct{ book Book }

const statesKey = "schedule"

// Load returns all that was saved.
func (s states) Load(ctx context.Context) (map[schedule.ID]schedule.State, error) {
	all := map[schedule.ID]schedule.State{}
	return all, read(ctx, s.book, statesKey, &all)
}

// Save replaces the states of these jobs.
func (s states) Save(ctx context.Context, changed map[schedule.ID]schedule.State) error {
	all, err := s.Load(ctx)
	if err != nil {
		return err
	}
	for id, state := range changed {
		all[id] = state
	}
	return write(ctx, s.book, statesKey, all)
}

// remembered is what is kept of one source.
type remembered struct {
	Since  time.Time          `json:"since"` // under protection
	Memory policy.Memory      `json:"memory,omitempty"`
	Checks map[string]checked `json:"checks,omitempty"` // by repository
	Drills []policy.DrillRun  `json:"drills,omitempty"`

	Free map[string][]freeAt `json:"free,omitempty"` // room on the disks of repositories, over some days
}

func sourceKey(source string) string { return "promises/" + source }

// recall reads what is remembered of a source.
func (w *Watch) recall(ctx context.Context, s *watched) error {
	if err := read(ctx, w.c.Book, sourceKey(s.Name), &s.remembered); err != nil {
		return err
	}
	if s.Since.IsZero() {
		s.Since = w.c.Now().UTC()
	}
	if s.Checks == nil {
		s.Checks = map[string]checked{}
	}
	return nil
}

// note writes down what is remembered of a source. The caller holds its lock.
func (w *Watch) note(ctx context.Context, s *watched) {
	if err := write(context.WithoutCancel(ctx), w.c.Book, sourceKey(s.Name), s.remembered); err != nil {
		w.c.Log.Warn("what was judged cannot be written down", "source", s.Name, "err", err)
	}
}

func read(ctx context.Context, book Book, key string, into any) error {
	b, err := book.Value(ctx, key)
	if err != nil || len(b) == 0 {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

func write(ctx context.Context, book Book, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return book.SetValue(ctx, key, b)
}
