package proxy

import "sync/atomic"

// Counters count what a listener did since it began; a Carrier adds to them.
type Counters struct {
	Accepted atomic.Int64 // connections that came
	Open     atomic.Int64 // that stand now
	Held     atomic.Int64 // whose client waits for a primary now
	Refused  atomic.Int64 // turned away because too many stand or wait
	Expired  atomic.Int64 // waited for a primary for longer than they may
	Failed   atomic.Int64 // did not get as far as a session: broken greetings, wrong passwords, servers that can not be reached
	Moved    atomic.Int64 // idle sessions that went on at another member without an error
	Unmoved  atomic.Int64 // idle sessions that were closed because of what they held, or might have held
	Severed  atomic.Int64 // sessions closed with something open that did not happen
	Unknown  atomic.Int64 // sessions closed with something open of which nobody here knows whether it happened
	Asked    atomic.Int64 // sessions that were asked what they hold
	Cancels  atomic.Int64 // requests to cancel that were passed on
	Up       atomic.Int64 // bytes to servers
	Down     atomic.Int64 // bytes to clients
}

// Count is a snapshot of Counters, field by field.
type Count struct {
	Accepted, Open, Held, Refused, Expired, Failed, Moved, Unmoved, Severed, Unknown, Asked, Cancels, Up, Down int64
}

// Snapshot reads the counters one after the other.
func (c *Counters) Snapshot() Count {
	return Count{
		Accepted: c.Accepted.Load(), Open: c.Open.Load(), Held: c.Held.Load(), Refused: c.Refused.Load(), Expired: c.Expired.Load(),
		Failed: c.Failed.Load(), Moved: c.Moved.Load(), Unmoved: c.Unmoved.Load(), Severed: c.Severed.Load(), Unknown: c.Unknown.Load(),
		Asked: c.Asked.Load(), Cancels: c.Cancels.Load(), Up: c.Up.Load(), Down: c.Down.Load(),
	}
}
