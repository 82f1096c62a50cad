package watch

import (
	"context"
	"time"

	"github.com/backstaydb/backstay/internal/policy"
)

// Replace puts other sources, and other promises, in the place of those there are. What is running runs on under what was promised
// when it began; what is known of a source stays.
func (w *Watch) Replace(ctx context.Context, sources []Source) error {
	before := w.all()
	if err := w.take(ctx, sources); err != nil {
		return err
	}
	if err := w.runner.Replace(jobsOf(sources)); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sources = before
		return err
	}
	for _, s := range sources {
		w.wake(s.Name)
	}
	return nil
}

// take puts sources in place; nothing has changed if it fails.
func (w *Watch) take(ctx context.Context, sources []Source) error {
	before, next := w.all(), map[string]*watched{}
	for _, s := range sources {
		rules, err := Rules(s.Promise, s.Hold)
		if err != nil {
			return err
		}
		taken := &watched{Source: s, objectives: objectivesOf(s), rules: rules}
		if had := before[s.Name]; had != nil {
			taken.known = had.known
		} else {
			taken.known = &known{histories: map[string]seen{}, meters: map[string]*meter{}, disks: map[string]policy.Disk{}}
			if err := w.recall(ctx, taken); err != nil {
				return err
			}
		}
		next[s.Name] = taken
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sources = next
	return nil
}

// all are the sources as they are now.
func (w *Watch) all() map[string]*watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sources // never written to: Replace puts another map in its place
}

// Judged is when the promises were judged last; before that, when New returned.
func (w *Watch) Judged() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judged
}
