package cluster

import "time"

// Tenure is a holder's own permission to act: to keep its server writable and to renew routes. It counts on the holder's clock
// from when the question was sent that renewed it: a beat that was swapped in, or, while there is no coordination, the word of every other
// member's agent that it knows no newer epoch. The zero Tenure permits nothing.
type Tenure struct {
	Epoch uint64
	until time.Duration
}

// Renew extends the tenure of epoch to sent + lease. A newer epoch replaces it, an older one changes nothing.
func (t Tenure) Renew(epoch uint64, sent, lease time.Duration) Tenure {
	switch {
	case epoch < t.Epoch:
		return t
	case epoch > t.Epoch:
		return Tenure{Epoch: epoch, until: sent + lease}
	default:
		t.until = max(t.until, sent+lease)
		return t
	}
}

// End is the tenure that ends now, because a newer epoch was heard of.
func (t Tenure) End() Tenure { return Tenure{Epoch: t.Epoch} }

// Left is how long it still lasts; zero or less: it is over.
func (t Tenure) Left(now time.Duration) time.Duration { return t.until - now }

// Oath is what a member's agent keeps: Promised on its disk, written before it answers; Vouched in memory, and after a start the
// moment of the start, since the life before may have vouched until then.
type Oath struct {
	Promised uint64
	Vouched  time.Duration
}

// Promise raises the oath to epoch. It reports false for a lower epoch, whose command must not be carried out.
func (o Oath) Promise(epoch uint64) (Oath, bool) {
	if epoch < o.Promised {
		return o, false
	}
	o.Promised = epoch
	return o, true
}

// Vouch answers a holder of epoch that asks whether there is a newer one. A yes extends the holder's tenure, so its moment is kept.
func (o Oath) Vouch(epoch uint64, now time.Duration) (Oath, bool) {
	if epoch < o.Promised {
		return o, false
	}
	o.Vouched = now
	return o, true
}
