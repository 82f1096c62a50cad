// Package peer is how Backstay's processes of one cluster ask each other: what a member is, what it shall do, whether anybody knows a
// newer epoch, which route counts.
//
//	keeper ── Probe, Act ──▶ agent ◀── Vouch ── agent
//	   │                       ▲
//	   └──── Tell ──▶ proxy ── Grant
//
// The interfaces are what each asks of the other, whether that runs in this process or on another host. Handler serves them and a Caller
// asks them over HTTP with JSON in mutual TLS 1.3: a certificate of the cluster's own authority says which host of backstay.yaml speaks, and
// a handler answers hosts of that file only. Fields that a process does not know are ignored, so that processes one release apart
// understand each other.
//
// No moment ever travels: the clocks of two hosts have nothing in common. What was is told as an age, counted back from the question.
// Nothing here decides, repeats or remembers: a call that got no answer may have been carried out, and all that is asked is idempotent.
package peer

import (
	"context"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/route"
)

// Ages travel in place of moments. Negative: it is not the case, or never was.
type Ages struct {
	Heard   time.Duration // since it last heard the primary that it streams from
	Vouched time.Duration // since it last told a holder that it knows no newer epoch
	Stalled time.Duration // since when a write probe waits for the disk
	Short   time.Duration // since when fewer standbys stream than should have a commit
}

// Report answers a probe. The moments in Fact mean nothing; see Seen.
type Report struct {
	cluster.Fact
	Ages Ages
}

// Seen is the fact on the clock of who asked: asked is when the question was sent, now when the answer came. What was heard is taken to be as old
// as it can be, what was vouched as young.
func (r Report) Seen(asked, now time.Duration) cluster.Fact {
	f := r.Fact
	f.Answered = asked
	f.Heard = since(asked, r.Ages.Heard)
	f.Vouched = since(now, r.Ages.Vouched)
	f.Stalled = since(asked, r.Ages.Stalled)
	f.Short = since(asked, r.Ages.Short)
	return f
}

func since(from, age time.Duration) time.Duration {
	if age < 0 {
		return cluster.Never
	}
	return from - age
}

// Age is how long ago the moment at was, as it travels.
func Age(at, now time.Duration) time.Duration {
	if at == cluster.Never {
		return -1
	}
	return max(now-at, 0)
}

// Member is what a keeper asks of a member: an agent over the network, an agent in this process, or SQL alone.
type Member interface {
	// Probe says what the member is. It answers within ctx whatever the server does: a server that hangs is a fact as well.
	Probe(ctx context.Context) (Report, error)
	// Act carries out one action that names this member. It is idempotent. Nil means that it is done or was begun: the next probe
	// tells. An epoch below what the member promised is refused with ErrRefused.
	Act(ctx context.Context, a cluster.Action) error
}

// Voucher is asked by a holder of the epoch while there is no coordination.
type Voucher interface {
	// Vouch reports whether no epoch newer than epoch is known here. A yes extends the asker's tenure, and is remembered.
	Vouch(ctx context.Context, epoch uint64) (ok bool, err error)
}

// Granter answers proxies: the holder of the epoch.
type Granter interface {
	// Grant returns a route whose For counts from when the proxy asked. ErrRefused: this host holds no epoch, or not yet, ask again.
	Grant(ctx context.Context, ask route.Ask) (route.Route, error)
}

// Carrier is a proxy that keepers tell what the state says.
type Carrier interface {
	// Tell applies a route that gives no time (For is zero) and returns the proxy's word on it: ack of the newest route that it knows, and
	// heard, how long ago it last got something from that route's primary; negative: nothing in this epoch.
	Tell(ctx context.Context, r route.Route) (ack route.Ack, heard time.Duration, err error)
}
