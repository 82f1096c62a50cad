package postgres

import "time"

// Times of the pulse.
const (
	pulseEvery   = time.Second           // the server hears of us at least so often
	pulseAgain   = 30 * time.Millisecond // between three questions for the server's clock, the third of which says that all is here since the first
	silenceLimit = 30 * time.Second      // without an answer the server is taken for gone
)

// pulse keeps the connection alive from both sides until done is closed: the server, which may give us up after timeout,
// hears of us also while a shipment takes its time; and a server that is silent is given up. Each time the server is
// asked for its clock, with which an idle log is known to be whole.
func (r *receiver) pulse(done <-chan struct{}, timeout time.Duration) {
	every := pulseEvery
	if timeout > 0 {
		every = min(every, timeout/4)
	}
	r.heard.Store(time.Now().UnixNano())
	tick := time.NewTicker(max(every, time.Millisecond))
	defer tick.Stop()
	for {
		for range 3 {
			if r.confirm(true) != nil || r.silent() {
				r.stream.Close() // the receiver says why
				return
			}
			select {
			case <-done:
				return
			case <-time.After(min(pulseAgain, every/4)):
			}
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// silent reports whether the server has not answered for too long.
func (r *receiver) silent() bool {
	heard := r.heard.Load()
	return heard != 0 && time.Since(time.Unix(0, heard)) > silenceLimit
}
