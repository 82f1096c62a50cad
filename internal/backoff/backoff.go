// Package backoff says how long to wait before the next try, and waits. It keeps no state and decides nothing about
// whether to try again.
package backoff

import (
	"context"
	"time"
)

// Policy is how waiting grows: from Min by Factor with each attempt, up to Max.
type Policy struct {
	Min    time.Duration // longest wait before the second try; zero means 100ms
	Max    time.Duration // no wait is longer; zero means 30s
	Factor float64       // growth with each attempt; less than 1 means 2
}

// Delay returns the wait after failed attempt number attempt (the first is 1): between half and all of what the policy
// has grown to, chosen by rnd, a number in [0, 1), so that many hosts do not come back at once. A nil rnd means all.
func (p Policy) Delay(attempt int, rnd func() float64) time.Duration {
	p = p.withDefaults()
	d := float64(p.Min)
	for i := 1; i < attempt && d < float64(p.Max); i++ {
		d *= p.Factor
	}
	d = min(d, float64(p.Max))
	if rnd != nil {
		d *= 0.5 + rnd()/2
	}
	return time.Duration(d)
}

func (p Policy) withDefaults() Policy {
	if p.Min <= 0 {
		p.Min = 100 * time.Millisecond
	}
	if p.Max <= 0 {
		p.Max = 30 * time.Second
	}
	if p.Factor < 1 {
		p.Factor = 2
	}
	p.Max = max(p.Max, p.Min)
	return p
}

// Sleep waits for d. It returns early with the cause when ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
