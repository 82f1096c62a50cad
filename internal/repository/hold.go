package repository

import (
	"context"
	"errors"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

const (
	holdTime       = time.Hour // of one claim; it is renewed well before
	releaseTimeout = 10 * time.Second
)

// Hold claims all of a chain, and renews the claim until release is called: what by reads, in words, is not dropped under it
// however long that takes. It is an UnlistedError if something of the chain was dropped before. Where a claim cannot be put, as
// with credentials that may only read, it goes on without, and the log says so: if something is dropped meanwhile reading
// fails.
func (r *Repository) Hold(ctx context.Context, chain history.Chain, by string) (release func(), err error) {
	claim, err := r.Claim(ctx, chain, by, holdTime)
	var unlisted *UnlistedError
	if errors.As(err, &unlisted) || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		r.o.Log.Warn("what is read is not claimed; it fails if that is dropped meanwhile", "source", r.source, "store", r.store.String(), "by", by, "error", err)
		return func() {}, nil
	}
	renewing, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		claim.keep(renewing)
	}()
	return func() {
		stop()
		<-ended
		releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		if err := claim.Release(releasing); err != nil {
			r.o.Log.Debug("release claim", "source", r.source, "error", err)
		}
	}, nil
}
