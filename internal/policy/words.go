package policy

import (
	"fmt"
	"math"
	"time"
)

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// span writes a duration in its two largest units: "1.5s", "4m10s", "3h5m", "12d4h".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(a time.Duration, ua string, b time.Duration, ub string) string {
		s := fmt.Sprintf("%d%s", d/a, ua)
		if rest := d % a / b; rest > 0 {
			s += fmt.Sprintf("%d%s", rest, ub)
		}
		return s
	}
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return two(time.Minute, "m", time.Second, "s")
	case d < 2*day:
		return two(time.Hour, "h", time.Minute, "m")
	default:
		return two(day, "d", time.Hour, "h")
	}
}

// clock writes a time for people.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// percent rounds down, so that no gap reads as 100 %.
func percent(share float64) string {
	return fmt.Sprintf("%g %%", math.Floor(share*1000)/10)
}

// size writes bytes with a binary unit.
func size(n int64) string {
	unit, value := 0, float64(n)
	for value >= 1024 && unit < 4 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, [...]string{"", "KiB", "MiB", "GiB", "TiB"}[unit])
}
