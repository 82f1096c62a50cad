package schedule

import (
	"errors"
	"strings"
	"time"
)

const (
	dayMinutes  = 24 * 60
	weekMinutes = 7 * dayMinutes
)

// Windows are hours of the week in plain words, with a time zone at the end:
//
//	22:00-04:00                              every day, over midnight; it belongs to the day on which it begins
//	mon-fri 08:00-18:00; sat,sun             several, with a semicolon between; days alone mean all of them
//	22:00-04:00 Europe/Berlin
//
// A window begins at its first minute and ends before its last. Without a zone it means the zone of the time that it is asked with.
// The zero Windows contain nothing.
type Windows struct {
	text   string
	zone   *time.Location
	begins [7][]piece // by the day on which each begins, in order, not overlapping
}

// A piece is a stretch of minutes after the midnight that begins a day; it may reach into the next day.
type piece struct{ from, to int }

// ParseWindows reads windows. Its errors have a Hint that lists what is valid.
func ParseWindows(text string) (Windows, error) {
	w, err := parseWindows(text)
	if err != nil {
		return Windows{}, &ExprError{Text: text[:min(len(text), maxText)], Problem: err.Error(), hours: true}
	}
	return w, nil
}

func parseWindows(text string) (Windows, error) {
	if len(text) > maxText {
		return Windows{}, errors.New("they are longer than 256 bytes")
	}
	var w Windows
	var minutes week
	items := strings.Split(text, ";")
	printed := make([]string, len(items))
	for i, item := range items {
		fields := strings.Fields(item)
		if n := len(fields); i == len(items)-1 && n > 1 && isZone(fields[n-1]) {
			zone, err := parseZone(fields[n-1])
			if err != nil {
				return Windows{}, err
			}
			w.zone, fields = zone, fields[:n-1]
		}
		item := strings.ToLower(strings.Join(fields, " "))
		if err := minutes.add(item); err != nil {
			return Windows{}, err
		}
		printed[i] = item
	}
	w.text = strings.Join(printed, "; ")
	if w.zone != nil {
		w.text += " " + w.zone.String()
	}
	w.begins = minutes.pieces()
	return w, nil
}

// isZone tells a zone from days and times: only it has a capital or a slash.
func isZone(field string) bool {
	return field != strings.ToLower(field) || strings.Contains(field, "/")
}

// week marks the minutes of a week by the day to which they belong: a day's own, and those that its windows reach into the next.
type week [7][2 * dayMinutes]bool

func (m *week) add(item string) error {
	if item == "" {
		return errors.New("an item is empty")
	}
	set, hours := days{true, true, true, true, true, true, true}, piece{0, dayMinutes}
	fields := strings.Fields(item)
	if looksLikeDays(fields[0]) {
		var err error
		if set, err = parseDays(fields[0]); err != nil {
			return err
		}
		fields = fields[1:]
	}
	if len(fields) > 1 {
		return errors.New(quote(strings.Join(fields, " ")) + " is more than one window: put a semicolon between")
	}
	if len(fields) == 1 {
		var err error
		if hours, err = parsePiece(fields[0]); err != nil {
			return err
		}
	}
	for d, on := range set {
		for i := hours.from; on && i < hours.to; i++ {
			m[d][i] = true
		}
	}
	return nil
}

func parsePiece(text string) (piece, error) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return piece{}, errors.New(quote(text) + " is no window: write 22:00-04:00")
	}
	from, err := parseClock(first)
	if err != nil {
		return piece{}, err
	}
	to, err := parseClock(last)
	if err != nil {
		return piece{}, err
	}
	if from == to || from == dayMinutes {
		return piece{}, errors.New(quote(text) + " has no length: for the whole day write 00:00-24:00")
	}
	if to < from {
		to += dayMinutes
	}
	return piece{from, to}, nil
}

func (m *week) pieces() (p [7][]piece) {
	for d := range m {
		for i := 0; i < len(m[d]); i++ {
			if !m[d][i] {
				continue
			}
			from := i
			for i < len(m[d]) && m[d][i] {
				i++
			}
			p[d] = append(p[d], piece{from, i})
		}
	}
	return p
}

// String prints w as ParseWindows reads it.
func (w Windows) String() string { return w.text }

// IsZero reports whether w contains nothing.
func (w Windows) IsZero() bool { return w.text == "" }

// Equal reports whether both say the same in the same words.
func (w Windows) Equal(o Windows) bool { return w.text == o.text }

// MarshalText prints w; the zero Windows are empty.
func (w Windows) MarshalText() ([]byte, error) { return []byte(w.text), nil }

// UnmarshalText reads what MarshalText printed.
func (w *Windows) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*w = Windows{}
		return nil
	}
	parsed, err := ParseWindows(string(text))
	if err == nil {
		*w = parsed
	}
	return err
}

// Contains reports whether clocks show a time inside a window at t.
func (w Windows) Contains(t time.Time) bool {
	if w.IsZero() {
		return false
	}
	return w.left(wallOf(t, zoneOr(w.zone, t))) > 0
}

// left is how long the windows go on after wall; zero when wall is outside, a week when they never end.
func (w Windows) left(wall time.Time) time.Duration {
	day, into := int(wall.Weekday()), wall.Sub(midnight(wall))
	end := into
	for end < weekMinutes*time.Minute {
		further := end
		for back := -1; back <= int(end/(24*time.Hour)); back++ {
			for _, p := range w.begins[(day+back+7)%7] {
				from, to := time.Duration(back*dayMinutes+p.from)*time.Minute, time.Duration(back*dayMinutes+p.to)*time.Minute
				if from <= end && end < to {
					further = max(further, to)
				}
			}
		}
		if further == end {
			return end - into
		}
		end = further
	}
	return weekMinutes * time.Minute
}

// Until returns when the windows that contain t end: t itself outside of them, and zero when they never end.
func (w Windows) Until(t time.Time) time.Time {
	zone := zoneOr(w.zone, t)
	for at := t; ; {
		left := w.left(wallOf(at, zone))
		if left >= weekMinutes*time.Minute {
			return time.Time{}
		}
		if left == 0 {
			return at.In(t.Location())
		}
		_, change := at.In(zone).ZoneBounds()
		end := at.Add(left)
		if change.IsZero() || end.Before(change) {
			return end.In(t.Location())
		}
		at = change // what clocks show afterwards may be inside or outside
	}
}

func midnight(wall time.Time) time.Time {
	return time.Date(wall.Year(), wall.Month(), wall.Day(), 0, 0, 0, 0, time.UTC)
}
