package main

import (
	"fmt"
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

// median of a few values; of an even number the mean of the middle two.
func median(d []time.Duration) time.Duration {
	s := newDistribution(d)
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// ratio prints a/b, "-" where there is no b.
func ratio(a, b time.Duration) string {
	if a <= 0 || b <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f x", float64(a)/float64(b))
}

// short prints a time with three digits: "412 µs", "8.31 ms", "1.20 s".
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond && d > -time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second && d > -time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
