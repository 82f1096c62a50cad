package check

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Figures are durations of runs, for people.
type Figures []time.Duration

// At is the smallest of them that a share q of them does not exceed.
func (f Figures) At(q float64) time.Duration {
	if len(f) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(f))
	return s[max(0, int(math.Ceil(q*float64(len(s))))-1)]
}

// String prints the distribution.
func (f Figures) String() string {
	r := func(q float64) time.Duration { return f.At(q).Round(time.Millisecond) }
	return fmt.Sprintf("%d runs: min %s, p50 %s, p90 %s, p99 %s, max %s", len(f), r(0), r(0.5), r(0.9), r(0.99), r(1))
}
