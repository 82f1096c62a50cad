package app

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/engine"
)

// How often a sentinel is written, and what is waited for after a source that did not let us, or did not answer.
const (
	sentinelEvery   = time.Second
	sentinelRetry   = 10 * time.Second
	sentinelRefused = 10 * time.Minute
)

// sentinel keeps the row at one source that says which second it is, where the owner asked for it.
type sentinel struct {
	engine  engine.Sentineler
	url     string
	options engine.Options

	mu    sync.Mutex
	shown api.Sentinel
}

// newSentinel returns nil where none is asked for, or the engine keeps none.
func newSentinel(wanted bool, e engine.Engine, url string, o engine.Options) *sentinel {
	s, ok := e.(engine.Sentineler)
	if !wanted || !ok {
		return nil
	}
	return &sentinel{engine: s, url: url, options: o}
}

// run writes until ctx ends. What goes wrong is shown, and keeps nobody from anything: without a sentinel commit times serve.
func (s *sentinel) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := sentinelRetry
		err := s.write(ctx)
		if _, refused := errors.AsType[*engine.NotGrantedError](err); refused {
			pause = sentinelRefused
		}
		s.fault(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// write opens the sentinel and writes it each second until the source is gone. A second or two in which somebody holds a lock are left
// out.
func (s *sentinel) write(ctx context.Context) error {
	open, cancel := context.WithTimeout(ctx, sentinelRetry)
	w, err := s.engine.OpenSentinel(open, s.url, s.options)
	cancel()
	if err != nil {
		return err
	}
	defer w.Close() // each row is committed when it is written
	s.mu.Lock()
	s.shown.Table = w.Table()
	s.mu.Unlock()
	tick := time.NewTicker(sentinelEvery)
	defer tick.Stop()
	const patience = 5
	for missed := 0; ; {
		limited, cancel := context.WithTimeout(ctx, patience*sentinelEvery)
		err := w.Write(limited)
		cancel()
		if err == nil {
			missed = 0
			s.wrote()
		} else if missed++; missed >= patience || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (s *sentinel) wrote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown.Written, s.shown.Error, s.shown.Hint = s.options.Now(), "", ""
}

func (s *sentinel) fault(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	changed := s.shown.Error != err.Error()
	s.shown.Error, s.shown.Hint = strings.ReplaceAll(err.Error(), "\n", " "), hintOf(err)
	s.mu.Unlock()
	if changed {
		s.options.Log.Warn("no sentinel is written: which second was recovered is told by commit times", "source", s.options.Name, "err", err, "hint", hintOf(err))
	}
}

// status is nil where none is written.
func (s *sentinel) status() *api.Sentinel {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.shown
	return &out
}

// dropSentinel takes away what a sentinel left at a source; what says what that is.
func (h *Host) dropSentinel(ctx context.Context, source string, dry bool) (what string, err error) {
	e, target, err := protectorOf(h.Config.Sources[source].URL, h.Config)
	if err != nil {
		return "", err
	}
	s, ok := e.(engine.Sentineler)
	if !ok {
		return "", nil
	}
	return s.DropSentinel(ctx, target, engine.Options{Name: source, Log: h.Log, Now: h.Now}, dry)
}
