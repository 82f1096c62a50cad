package main

import (
	"slices"
	"time"
)

// distribution is a sorted set of measured times.
type distribution []time.Duration

func newDistribution(d []time.Duration) distribution {
	d = slices.Clone(d)
	slices.Sort(d)
	return d
}

// at is the smallest value that is not exceeded by the share q of all, zero if there are none.
func (d distribution) at(q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	i := int(q*float64(len(d))+0.9999999) - 1
	return d[min(max(i, 0), len(d)-1)]
}

func (d distribution) max() time.Duration { return d.at(1) }
