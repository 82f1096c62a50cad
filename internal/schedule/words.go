package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// every is due by elapsed time: at multiples of itself since 1970, moved by the spread.
type every time.Duration

const (
	minEvery = every(time.Minute)
	maxEvery = every(366 * 24 * time.Hour)
)

func (d every) after(t time.Time, _ *time.Location, s spread) time.Time {
	step := int64(time.Duration(d) / time.Second)
	phase := int64(s.fraction * float64(step))
	since := t.Unix() - phase
	n := since / step
	if since%step < 0 {
		n-- // before 1970 division rounds up
	}
	return time.Unix((n+1)*step+phase, 0).In(t.Location())
}

// calendar is due once in each day, week or month, or at each of its times of day.
type calendar struct {
	unit  unit
	days  days  // of unit byDay: which
	times []int // minutes after midnight, ascending; empty means spread over the hours
}

type unit int

const (
	byDay unit = iota
	byWeek
	byMonth
)

// span is how many days of the period the job is spread over.
func (u unit) span() int { return [...]int{1, 7, 28}[u] }

// period returns the midnight that begins the period n periods after that of day.
func (u unit) period(day time.Time, n int) time.Time {
	switch u {
	case byWeek:
		monday := day.Day() - (int(day.Weekday())+6)%7
		return time.Date(day.Year(), day.Month(), monday+7*n, 0, 0, 0, 0, time.UTC)
	case byMonth:
		return time.Date(day.Year(), day.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	default:
		return time.Date(day.Year(), day.Month(), day.Day()+n, 0, 0, 0, 0, time.UTC)
	}
}

// maxPeriods is how far a period with a slot can be: a week of days, and one for hours that reach over midnight.
const maxPeriods = 9

// next returns the first slot after wall. Slots of neighbouring periods may stand in any order, for hours that begin before
// midnight end after it; so one period more on each side is asked.
func (c calendar) next(wall time.Time, s spread) time.Time {
	var best time.Time
	for n := -2; n <= maxPeriods; n++ {
		start := c.unit.period(wall, n)
		if !best.IsZero() && start.After(best) {
			break
		}
		if c.unit == byDay && !c.days[start.Weekday()] {
			continue
		}
		for _, slot := range c.slots(start, s) {
			if slot.After(wall) && (best.IsZero() || slot.Before(best)) {
				best = slot
			}
		}
	}
	return best
}

func (c calendar) slots(start time.Time, s spread) []time.Time {
	if len(c.times) == 0 {
		return []time.Time{s.place(start, c.unit.span())}
	}
	day := int(s.fraction * float64(c.unit.span()))
	slots := make([]time.Time, len(c.times))
	for i, minute := range c.times {
		slots[i] = start.Add(time.Duration(day*24*60+minute) * time.Minute)
	}
	return slots
}

func (c calendar) after(t time.Time, zone *time.Location, s spread) time.Time {
	if len(c.times) == 0 && s.zone != nil {
		zone = s.zone
	}
	return fixed(t, zone, func(wall time.Time) time.Time { return c.next(wall, s) })
}

// parseWords reads plain words from the beginning of fields and returns how many they were.
func parseWords(fields []string) (rule, int, error) {
	word := strings.ToLower(fields[0])
	everyDay := days{true, true, true, true, true, true, true}
	switch {
	case word == "hourly":
		return every(time.Hour), 1, nil
	case word == "every":
		return parseEvery(fields)
	case word == "daily":
		return parseAt(calendar{unit: byDay, days: everyDay}, fields)
	case word == "weekly":
		return parseAt(calendar{unit: byWeek}, fields)
	case word == "monthly":
		return parseAt(calendar{unit: byMonth}, fields)
	case looksLikeDays(word):
		set, err := parseDays(word)
		if err != nil {
			return nil, 0, err
		}
		return parseAt(calendar{unit: byDay, days: set}, fields)
	}
	return nil, 0, fmt.Errorf("nothing begins with %s", quote(fields[0]))
}

// parseAt reads the times of day behind the first of fields, if there are any.
func parseAt(c calendar, fields []string) (rule, int, error) {
	if len(fields) < 2 || strings.ToLower(fields[1]) != "at" {
		return c, 1, nil
	}
	if len(fields) < 3 {
		return nil, 0, errors.New(`a time of day is missing after "at", as in 02:30`)
	}
	for _, item := range strings.Split(fields[2], ",") {
		minute, err := parseClock(item)
		if err != nil {
			return nil, 0, err
		}
		if minute == 24*60 {
			return nil, 0, errors.New("24:00 belongs to the next day: write 00:00")
		}
		c.times = append(c.times, minute)
	}
	slices.Sort(c.times)
	c.times = slices.Compact(c.times)
	return c, 3, nil
}

func parseEvery(fields []string) (rule, int, error) {
	if len(fields) < 2 {
		return nil, 0, errors.New(`a duration is missing after "every", as in every 6h`)
	}
	d, err := parseDuration(strings.ToLower(fields[1]))
	if err != nil {
		return nil, 0, err
	}
	if d < minEvery || d > maxEvery {
		return nil, 0, fmt.Errorf("%s is out of range: valid is 1m to 366d", fields[1])
	}
	return d, 2, nil
}

// parseDuration reads numbers with the units m, h, d and w: 90m, 1h30m, 2d.
func parseDuration(text string) (every, error) {
	units := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	var total time.Duration
	number, digits := time.Duration(0), 0
	for _, c := range []byte(text) {
		unit, isUnit := units[c]
		switch {
		case c >= '0' && c <= '9' && digits < 6:
			number, digits = number*10+time.Duration(c-'0'), digits+1
		case isUnit && digits > 0 && total < time.Duration(maxEvery):
			// Six digits are at most 999,999 weeks, which a Duration cannot hold.
			total += min(number, 1+time.Duration(maxEvery)/unit) * unit
			number, digits = 0, 0
		default:
			return 0, fmt.Errorf("%s is no duration: write numbers with m, h, d or w, as in 90m, 6h or 2d", quote(text))
		}
	}
	if digits > 0 || text == "" {
		return 0, fmt.Errorf("%s has no unit at its end: write m, h, d or w, as in 90m, 6h or 2d", quote(text))
	}
	return every(total), nil
}
