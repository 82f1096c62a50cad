package measure

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Median of a few values; of an even number the mean of the middle two; zero of none.
func Median[T cmp.Ordered](values []T, mean func(a, b T) T) T {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		var zero T
		return zero
	}
	return mean(s[(len(s)-1)/2], s[len(s)/2])
}

// MedianTime is Median of times.
func MedianTime(values []time.Duration) time.Duration {
	return Median(values, func(a, b time.Duration) time.Duration { return (a + b) / 2 })
}

// MedianSize is Median of numbers.
func MedianSize(values []int64) int64 {
	return Median(values, func(a, b int64) int64 { return (a + b) / 2 })
}

// Quantile is the smallest value that is not exceeded by the share q of all.
func Quantile(values []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return 0
	}
	return s[min(max(int(q*float64(len(s))+0.9999999)-1, 0), len(s)-1)]
}

// Ratio prints a/b: "0.62 x", "-" where there is no b.
func Ratio[T ~int64](a, b T) string {
	if a <= 0 || b <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f x", float64(a)/float64(b))
}

// Short prints a time with three digits: "412 µs", "8.31 ms", "1.20 s".
func Short(d time.Duration) string {
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

var units = []struct {
	name  string
	bytes int64
}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}}

// ParseSize reads "64MB", in powers of 1024.
func ParseSize(s string) (int64, error) {
	for _, u := range units {
		if n, ok := strings.CutSuffix(strings.ToUpper(s), u.name); ok {
			f, err := strconv.ParseFloat(n, 64)
			return int64(f * float64(u.bytes)), err
		}
	}
	return strconv.ParseInt(s, 10, 64)
}

// Size prints three digits: "1.95 GB", "-" for what was not measured.
func Size(n int64) string {
	if n == 0 {
		return "-"
	}
	for _, u := range units {
		if n >= u.bytes {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
