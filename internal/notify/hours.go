package notify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hours is a stretch of the day, on some days of the week, on the clock of a zone. The zero value is never.
type Hours struct {
	from, to int     // minutes since midnight; to <= from means until then on the next day
	days     [7]bool // on which of them it begins
	zone     *time.Location
	text     string
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseHours reads "22:00-07:00", "22:00-07:00 Europe/Berlin", "mon-fri 18:00-08:00" or "sat,sun 00:00-24:00". Days say
// when a stretch begins; without a zone the host's clock counts. Empty text means never.
func ParseHours(text string) (Hours, error) {
	fields := strings.Fields(text)
	h := Hours{zone: time.Local, text: strings.Join(fields, " ")}
	if len(fields) == 0 {
		return Hours{}, nil
	}
	fail := func(why string) (Hours, error) {
		return Hours{}, fmt.Errorf(`parse hours %q: %s, want for example "mon-fri 22:00-07:00 Europe/Berlin"`, text, why)
	}
	var ok bool
	if h.days, ok = parseDays(fields[0]); ok {
		fields = fields[1:]
	} else {
		h.days = [7]bool{true, true, true, true, true, true, true}
	}
	if len(fields) == 0 || len(fields) > 2 {
		return fail("it has not the parts days, times, zone")
	}
	from, to, ok := strings.Cut(fields[0], "-")
	if !ok {
		return fail("it has no times")
	}
	if h.from, ok = parseClock(from); !ok || h.from == 24*60 {
		return fail("the first time is none")
	}
	if h.to, ok = parseClock(to); !ok {
		return fail("the second time is none")
	}
	if len(fields) == 2 {
		zone, err := time.LoadLocation(fields[1])
		if err != nil {
			return fail("the zone is unknown")
		}
		h.zone = zone
	}
	return h, nil
}

// parseDays reads "mon", "mon-fri" or "sat,sun".
func parseDays(text string) (days [7]bool, ok bool) {
	for _, part := range strings.Split(strings.ToLower(text), ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		i, j := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if i < 0 || j < 0 {
			return days, false
		}
		for days[i] = true; i != j; days[i] = true {
			i = (i + 1) % 7
		}
	}
	return days, true
}

// parseClock reads "07:30" as minutes since midnight; 24:00 is the end of the day.
func parseClock(text string) (minutes int, ok bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	hour, err := strconv.ParseUint(text[:2], 10, 8)
	minute, err2 := strconv.ParseUint(text[3:], 10, 8)
	minutes = int(hour)*60 + int(minute)
	return minutes, err == nil && err2 == nil && minute < 60 && minutes <= 24*60
}

// Contains says whether t lies in h. It goes by the clock on the wall: a change of clocks makes a stretch longer or
// shorter, never moves it.
func (h Hours) Contains(t time.Time) bool {
	if h.zone == nil {
		return false
	}
	t = t.In(h.zone)
	now, today := t.Hour()*60+t.Minute(), int(t.Weekday())
	if h.from < h.to {
		return h.days[today] && h.from <= now && now < h.to
	}
	return h.days[today] && h.from <= now || h.days[(today+6)%7] && now < h.to
}

// String returns what ParseHours reads.
func (h Hours) String() string { return h.text }

// Clock is a time of day on the clock of a zone. The zero value is never.
type Clock struct {
	minutes int
	zone    *time.Location
}

// ParseClock reads "08:00" or "08:00 Europe/Berlin". Empty text means never.
func ParseClock(text string) (Clock, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return Clock{}, nil
	}
	c := Clock{zone: time.Local}
	var ok bool
	if c.minutes, ok = parseClock(fields[0]); !ok || c.minutes == 24*60 || len(fields) > 2 {
		return Clock{}, fmt.Errorf(`parse time of day %q: want for example "08:00 Europe/Berlin"`, text)
	}
	if len(fields) == 2 {
		zone, err := time.LoadLocation(fields[1])
		if err != nil {
			return Clock{}, fmt.Errorf("parse time of day %q: the zone is unknown", text)
		}
		c.zone = zone
	}
	return c, nil
}

// last returns the day on which c came last at t, as 2006-01-02; "" if c is never. A time that a change of clocks skips
// comes at the change; one that comes twice counts once.
func (c Clock) last(t time.Time) string {
	if c.zone == nil {
		return ""
	}
	t = t.In(c.zone)
	if t.Hour()*60+t.Minute() < c.minutes {
		t = time.Date(t.Year(), t.Month(), t.Day()-1, 12, 0, 0, 0, c.zone)
	}
	return t.Format(time.DateOnly)
}
