package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/spool"
)

// UnprotectOptions say how far an unprotect goes.
type UnprotectOptions struct {
	DryRun       bool
	DiscardSpool bool // also if log waits here that no repository has
	LeaveBehind  bool // also if what was made at the source cannot be dropped
}

// Unprotect ends the protection of a source: what was made at the source is dropped, the source leaves
// backstay.yaml, and its state on this host is removed. It returns what it did, or would do, line by line. It
// refuses while log waits here that some repository lacks, while commits at the source wait for us, and when what was
// made there cannot be dropped.
func (h *Host) Unprotect(ctx context.Context, source string, o UnprotectOptions) ([]string, error) {
	unlock, err := lock(h.State())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := h.nothingWaits(ctx, source, o); err != nil {
		return nil, err
	}
	steps, err := h.leave(ctx, source, o)
	if err != nil {
		return steps, &SourceError{Source: source, Err: err}
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

// leave drops what was made at the source. Where that fails it is an error, unless o says otherwise or the engine leaves
// nothing behind that matters.
func (h *Host) leave(ctx context.Context, source string, o UnprotectOptions) (steps []string, err error) {
	e, target, err := protectorOf(h.Config.Sources[source].URL, h.Config)
	if err != nil {
		h.Log.Warn("the source cannot be asked what stays there", "source", source, "error", err)
		return nil, nil
	}
	leaver, leaves := e.(engine.Leaver)
	s, err := e.Connect(ctx, target, engine.Options{Name: source, StateDir: h.sourceState(source, "engine"), Log: h.Log, Now: h.Now})
	switch {
	case err == nil:
		defer s.Close() // nothing was begun on it
		if steps, err = h.dropAtSource(ctx, source, s, o.DryRun); err == nil {
			return steps, nil
		}
	case !leaves && ctx.Err() == nil:
		h.Log.Warn("the source cannot be asked what stays there", "source", source, "error", err)
		return nil, nil
	}
	var awaited *awaitedError
	if !leaves || ctx.Err() != nil || errors.As(err, &awaited) {
		return steps, err
	}
	left := &leftError{err: err, commands: leaver.Leaves(source, h.systemOf(ctx, source))}
	if !o.LeaveBehind {
		return steps, left
	}
	h.Log.Warn("what was made at the source stays there", "source", source, "error", err)
	for _, c := range left.commands {
		steps = append(steps, "leave it to you to run at the source: "+c)
	}
	return steps, nil
}

// dropAtSource drops what was made at a source that answers. It refuses while commits there wait for us.
func (h *Host) dropAtSource(ctx context.Context, source string, s engine.Source, dry bool) (steps []string, err error) {
	if a, ok := s.(engine.Awaited); ok {
		advice, err := a.Awaits(ctx)
		if err != nil {
			return nil, err
		}
		if advice.Text != "" {
			return nil, &awaitedError{advice}
		}
	}
	if r, ok := s.(engine.Remainer); ok && r.Remains() != "" {
		step := "drop at the source: " + r.Remains()
		if !dry {
			if err := r.Remove(ctx); err != nil {
				return nil, err
			}
		}
		steps = append(steps, step)
	}
	what, err := h.dropSentinel(ctx, source, dry)
	if what != "" && err == nil {
		steps = append(steps, "drop at the source: "+what)
	}
	return steps, err
}

// systemOf is the identifier that a repository has of the source's system, "" if none answers.
func (h *Host) systemOf(ctx context.Context, source string) string {
	for _, name := range h.Config.Sources[source].Repositories {
		repo, err := h.openRepository(ctx, Reach{Source: source}, name, Key{})
		if err != nil {
			continue
		}
		if bases := repo.Facts.History.Bases; len(bases) > 0 {
			return bases[len(bases)-1].SystemID
		}
	}
	return ""
}

// awaitedError says that commits at the source would wait for ever.
type awaitedError struct{ advice engine.Advice }

func (e *awaitedError) Error() string { return "unprotect: " + e.advice.Text }

// Hint says what ends that.
func (e *awaitedError) Hint() string { return "end that first, or they wait for ever: " + e.advice.Do }

// leftError says that what was made at the source would stay there.
type leftError struct {
	err      error
	commands []string
}

func (e *leftError) Error() string {
	return fmt.Sprintf("unprotect: what was made there cannot be dropped: %v", e.err)
}
func (e *leftError) Unwrap() error { return e.err }

// Hint says how it can be done by hand.
func (e *leftError) Hint() string {
	anyway := "to end the protection all the same give --leave-behind, and run there: " + strings.Join(e.commands, " ")
	if hint := hintOf(e.err); hint != "" {
		return hint + "; " + anyway
	}
	return anyway
}
