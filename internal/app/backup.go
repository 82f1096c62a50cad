package app

import (
	"context"
	"errors"

	"github.com/backstaydb/backstay/internal/api"
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
	p, err := h.openSource(ctx, source)
	if err != nil {
		return api.Base{}, err
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.run(running) }()
	base, err = p.backup(ctx, progress)
	stop()
	if ended := <-done; err == nil && !errors.Is(ended, context.Canceled) {
		err = ended
	}
	return base, err
}
