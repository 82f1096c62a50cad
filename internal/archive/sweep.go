package archive

import (
	"context"
	"time"

	"github.com/backstaydb/backstay/internal/repository"
)

const (
	sweepEvery    = 24 * time.Hour
	sweepDeadline = 10 * time.Minute
)

// sweep removes, once a day and at a start, what interrupted work has left in the repository. It does no harm there, so
// that what fails is tried again a day later.
func (s *shipper) sweep(ctx context.Context) {
	now := s.a.c.Now()
	if !s.swept.IsZero() && now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	ctx, cancel := context.WithTimeout(ctx, sweepDeadline)
	defer cancel()
	swept, err := s.opened().Sweep(ctx, repository.SweepOptions{})
	if err != nil && ctx.Err() == nil {
		s.a.c.Log.Warn("sweep repository", "source", s.a.c.Source, "repository", s.c.Name, "err", err)
	}
	if len(swept) > 0 {
		s.a.c.Log.Info("removed what interrupted work had left", "source", s.a.c.Source, "repository", s.c.Name, "objects", len(swept))
	}
}
