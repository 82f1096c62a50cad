package schedule

import (
	"fmt"
	"strings"
	"time"
)

// days is a set of weekdays, indexed by time.Weekday.
type days [7]bool

var dayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// parseDays reads "mon,thu", "mon-fri", "fri-mon" and "sat,sun"; full names count too.
func parseDays(text string) (days, error) {
	var set days
	for _, item := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(item, "-")
		first, err := parseDay(from)
		if err != nil {
			return days{}, err
		}
		last := first
		if isRange {
			if last, err = parseDay(to); err != nil {
				return days{}, err
			}
		}
		for d := first; ; d = (d + 1) % 7 {
			set[d] = true
			if d == last {
				break
			}
		}
	}
	return set, nil
}

func parseDay(text string) (time.Weekday, error) {
	for d, name := range dayNames {
		if text == name || text == name[:3] {
			return time.Weekday(d), nil
		}
	}
	return 0, fmt.Errorf("%q is no day: valid are mon, tue, wed, thu, fri, sat, sun", text)
}

// looksLikeDays reports whether text begins like a list of days, so that the error of parseDays is the useful one.
func looksLikeDays(text string) bool {
	for _, name := range dayNames {
		if strings.HasPrefix(text, name[:3]) {
			return true
		}
	}
	return false
}

// parseClock reads "02:30" as minutes after midnight. "24:00" is the end of the day.
func parseClock(text string) (int, error) {
	hours, minutes, ok := strings.Cut(text, ":")
	h, okHours := parseDigits(hours)
	m, okMinutes := parseDigits(minutes)
	if !ok || !okHours || !okMinutes || len(minutes) != 2 || h > 24 || m > 59 || h == 24 && m > 0 {
		return 0, fmt.Errorf("%q is no time of day: write hours and minutes, 00:00 to 24:00", text)
	}
	return h*60 + m, nil
}

// parseDigits reads one or two digits.
func parseDigits(text string) (int, bool) {
	if len(text) < 1 || len(text) > 2 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
