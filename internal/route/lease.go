package route

import "time"

// Lease is a proxy's permission to carry: one route and the end of it on the proxy's own clock. The zero Lease permits nothing.
//
// It keeps no clock and no lock: whoever owns it passes readings of one monotonic clock that counts suspended time too, as
// durations since any fixed moment.
type Lease struct {
	Route Route
	until time.Duration
	known bool
}

// Apply returns the lease after route r came, which was asked for at asked. It reports false, with the lease unchanged,
// when r is older than what is known. A push (For = 0) of the same epoch leaves the end where it was.
func (l Lease) Apply(r Route, asked time.Duration) (Lease, bool) {
	if l.known && !r.Newer(l.Route) {
		return l, false
	}
	until := asked + max(r.For, 0)
	switch {
	case r.State == Closed:
		until = 0
	case l.known && r.Epoch == l.Route.Epoch:
		until = max(until, l.until)
	case r.For <= 0:
		until = 0
	}
	return Lease{Route: r, until: until, known: true}, true
}

// Live reports whether bytes may pass to and from the primary at now.
func (l Lease) Live(now time.Duration) bool {
	return l.known && l.Route.State != Closed && now < l.until
}

// Until is the end on the owner's clock; zero for a lease that permits nothing.
func (l Lease) Until() time.Duration { return l.until }

// Left is for how long bytes may still pass; zero or less: none may.
func (l Lease) Left(now time.Duration) time.Duration {
	if !l.known || l.Route.State == Closed {
		return 0
	}
	return l.until - now
}
