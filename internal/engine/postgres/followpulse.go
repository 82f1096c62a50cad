package postgres

import (
	"context"
	"time"
)

// Times of the pulse.
const (
	pulseEvery   = time.Second      // the server hears of us at least so often
	silenceLimit = 30 * time.Second // without an answer the server is taken for gone
)

// pulse keeps the connection alive from both sides until ctx ends: the server, which may give us up after timeout, hears
// of us also while a shipment takes its time; and a server that is silent is given up.
func (r *receiver) pulse(ctx context.Context, timeout time.Duration) {
	r.heard.Store(time.Now().UnixNano())
	tick := time.NewTicker(beat(timeout))
	defer tick.Stop()
	for {
		if r.confirm(true) != nil || r.silent() {
			r.stream.Close() // the receiver says why
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// beat is how often the server hears of us.
func beat(timeout time.Duration) time.Duration {
	every := pulseEvery
	if timeout > 0 {
		every = min(every, timeout/4)
	}
	return max(every, time.Millisecond)
}

// silent reports whether the server has not answered for too long.
func (r *receiver) silent() bool {
	heard := r.heard.Load()
	return heard != 0 && time.Since(time.Unix(0, heard)) > silenceLimit
}
