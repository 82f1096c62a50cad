package app

import (
	"context"
	"fmt"
	"os"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/spool"
)

// UnprotectOptions say how far an unprotect goes.
type UnprotectOptions struct {
	DryRun       bool
	DiscardSpool bool // also if log waits here that no repository has
}

// Unprotect ends the protection of a source: what was made at the source is dropped, the source leaves
// backstay.yaml, and its state on this host is removed. It returns what it did, or would do, line by line. It
// refuses while log waits here that some repository lacks.
func (h *Host) Unprotect(ctx context.Context, source string, o UnprotectOptions) ([]string, error) {
	unlock, err := lock(h.State())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := h.nothingWaits(ctx, source, o); err != nil {
		return nil, err
	}
	var steps []string
	remainder, err := h.remainder(ctx, source)
	if err != nil {
		h.Log.Warn("the source cannot be asked what stays there", "source", source, "error", err)
	}
	if remainder != nil {
		defer remainder.close()
		if text := remainder.Remains(); text != "" {
			steps = append(steps, "drop at the source: "+text)
			if !o.DryRun {
				if err := remainder.Remove(ctx); err != nil {
					return steps, &SourceError{Source: source, Err: err}
				}
			}
		}
	}
	if err == nil { // else it was said that the source does not answer
		what, err := h.dropSentinel(ctx, source, o.DryRun)
		if err != nil {
			return steps, &SourceError{Source: source, Err: err}
		}
		if what != "" {
			steps = append(steps, "drop at the source: "+what)
		}
	}
	steps = append(steps, "take "+source+" out of "+config.Name, "remove "+h.sourceState(source), fmt.Sprintf("leave the history in %v", h.Config.Sources[source].Repositories))
	if o.DryRun {
		return steps, nil
	}
	edit := func(data []byte) ([]byte, error) { return config.Remove(config.Name, data, source) }
	if err := config.Edit(h.Config.Path, edit); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(h.sourceState(source)); err != nil {
		return steps, fmt.Errorf("remove state: %w", err)
	}
	return steps, nil
}

// nothingWaits refuses to throw log away that a repository lacks.
func (h *Host) nothingWaits(ctx context.Context, source string, o UnprotectOptions) error {
	dir := h.sourceState(source, "spool")
	if _, err := os.Stat(dir); err != nil || o.DiscardSpool {
		return nil
	}
	s, err := spool.Open(dir, spool.Options{MaxBytes: h.Config.Sources[source].Limit()})
	if err != nil {
		return fmt.Errorf("look at the spool: %w", err)
	}
	last := s.Stats().Last
	if err := s.Close(); err != nil {
		return fmt.Errorf("look at the spool: %w", err)
	}
	for _, name := range h.Config.Sources[source].Repositories {
		repo, err := h.openRepository(ctx, Reach{Source: source}, name, Key{})
		if err != nil && !last.IsZero() {
			return &waitingError{source: source, repository: name, err: err}
		}
		if err == nil && repo.last().Before(last) {
			return &waitingError{source: source, repository: name}
		}
	}
	return nil
}

// last is the newest position that the repository holds.
func (o OpenRepository) last() history.Position {
	windows := o.Facts.History.Windows()
	if len(windows) == 0 {
		return history.Position{}
	}
	return windows[len(windows)-1].End
}

// waitingError says that log would be lost.
type waitingError struct {
	source     string
	repository string
	err        error // why the repository cannot be asked; nil if it was
}

func (e *waitingError) Error() string {
	if e.err != nil {
		return fmt.Sprintf("unprotect %s: whether repository %s has all of the log cannot be seen: %v", e.source, e.repository, e.err)
	}
	return fmt.Sprintf("unprotect %s: log waits here that repository %s does not have", e.source, e.repository)
}

func (e *waitingError) Unwrap() error { return e.err }

// Hint says how it gets there.
func (e *waitingError) Hint() string {
	return `start "backstay run" until status shows no lag, then try again; --discard-spool throws that log away`
}

// sourceRemainder is a connected source that may leave something behind.
type sourceRemainder struct {
	engine.Remainer
	source engine.Source
}

func (r *sourceRemainder) close() { _ = r.source.Close() } // Nothing was begun on it.

// remainder asks the source what stays there; nil if its engine leaves nothing behind.
func (h *Host) remainder(ctx context.Context, source string) (*sourceRemainder, error) {
	p, target, err := protectorOf(h.Config.Sources[source].URL, h.Config)
	if err != nil {
		return nil, err
	}
	s, err := p.Connect(ctx, target, engine.Options{Name: source, StateDir: h.sourceState(source, "engine"), Log: h.Log, Now: h.Now})
	if err != nil {
		return nil, err
	}
	r, ok := s.(engine.Remainer)
	if !ok {
		return nil, s.Close()
	}
	return &sourceRemainder{r, s}, nil
}
