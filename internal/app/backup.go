package app

import (
	"context"
	"errors"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/backoff"
)

// Backup takes a full base of a source: through the daemon of this folder if one runs, else alone. Alone it runs the
// archive of that source for as long as it takes, so that the base is followed by a whole log.
func (h *Host) Backup(ctx context.Context, source string, exit func(error) int, progress func(api.Progress)) (api.Base, error) {
	base, err := api.Dial(h.State()).Backup(ctx, source, progress)
	if !errors.Is(err, api.ErrNotRunning) {
		return base, err
	}
	unlock, err := lock(h.State())
	if err != nil {
		return api.Base{}, err
	}
	defer unlock()
	h.bounded()
	p, err := h.openSource(ctx, source, nil)
	if err != nil {
		return api.Base{}, err
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.run(running) }()
	err = h.hooked(ctx, source, workBase, h.recordAlone, func() error {
		began := h.Now()
		if base, err = p.backup(ctx, progress); err != nil {
			return err
		}
		tell(ctx, began, phasesOfBase(p.took()))
		return h.copied(ctx, p, base)
	})
	stop()
	if ended := <-done; err == nil && !errors.Is(ended, context.Canceled) {
		err = ended
	}
	return base, err
}

// copied waits until every repository that answers has the base.
func (h *Host) copied(ctx context.Context, p *protected, base api.Base) error {
	for {
		waiting := false
		for _, r := range p.status().Repositories {
			waiting = waiting || r.State != stateFailing && r.LastBase.Before(base.Time)
		}
		if !waiting {
			break
		}
		if err := backoff.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	for _, r := range p.status().Repositories {
		if r.State == stateFailing {
			h.Log.Warn("this repository gets the base when it answers again and a daemon runs", "repository", r.Name, "error", r.Error)
		}
	}
	return nil
}
