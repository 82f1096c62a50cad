package history

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TargetKind says how a Target names its moment.
type TargetKind string

// The kinds of recovery target.
const (
	Latest     TargetKind = "latest"    // the end of what is known
	AtTime     TargetKind = "time"      // everything committed up to a time, and nothing after it
	AtPosition TargetKind = "position"  // everything up to and including a position
	Immediate  TargetKind = "immediate" // the stop of the newest base, with as little log as it needs
	Custom     TargetKind = "custom"    // Key:Value, in the engine's own terms: txid:42, lsn:0/16B3748, name:x
)

// Target is the moment to recover to.
type Target struct {
	Kind     TargetKind
	Time     time.Time // of AtTime
	Position Position  // of AtPosition; timeline zero means "whichever holds this sequence". Of AtTime only the timeline counts, zero is the one the source went on with
	Key      string    // of Custom
	Value    string
	Before   bool // of Custom: just before it, not including it ("before-txid:42")
}

// String prints what ParseTarget reads.
func (t Target) String() string {
	switch t.Kind {
	case AtTime:
		s := t.Time.UTC().Format(time.RFC3339Nano)
		if t.Position.Timeline != 0 {
			s += onTimeline + strconv.FormatUint(uint64(t.Position.Timeline), 10)
		}
		return s
	case AtPosition:
		return "position:" + t.Position.String()
	case Custom:
		if t.Before {
			return "before-" + t.Key + ":" + t.Value
		}
		return t.Key + ":" + t.Value
	default:
		return string(t.Kind)
	}
}

// onTimeline stands between a time and the timeline it is meant on.
const onTimeline = " on timeline "

// MarshalText makes targets travel as text in JSON.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Target) UnmarshalText(b []byte) error {
	u, err := ParseTarget(string(b), time.Now())
	if err != nil {
		return err
	}
	*t = u
	return nil
}

// local layouts are read in the time zone of now.
var localLayouts = []string{
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
}

// ParseTarget reads "latest", "immediate", a time (RFC 3339, local as in "2026-11-20 10:15:00", a clock time of
// today as in "10:15", or relative as in "10 minutes ago"; with "on timeline 1" behind it if not the one that the
// source went on with is meant), "position:1/42", or key:value in an engine's terms
// with an optional "before-" in front. Times without a zone are read in the zone of now.
func ParseTarget(s string, now time.Time) (Target, error) {
	s = strings.TrimSpace(s)
	switch s {
	case "":
		return Target{}, fmt.Errorf("parse target: it is empty; use latest, a time, or for example txid:42")
	case string(Latest), string(Immediate):
		return Target{Kind: TargetKind(s)}, nil
	case "now":
		return Target{Kind: AtTime, Time: now}, nil
	}
	if t, ok := parseTime(s, now); ok {
		return Target{Kind: AtTime, Time: t}, nil
	}
	if moment, number, ok := strings.Cut(s, onTimeline); ok {
		t, isTime := parseTime(moment, now)
		n, err := strconv.ParseUint(number, 10, 32)
		if !isTime || err != nil || n == 0 {
			return Target{}, fmt.Errorf("parse target %q: want a time and the number of a timeline", s)
		}
		return Target{Kind: AtTime, Time: t, Position: Position{Timeline: uint32(n)}}, nil
	}
	key, value, ok := strings.Cut(s, ":")
	if !ok || value == "" || strings.ContainsAny(key, " \t0123456789") {
		return Target{}, fmt.Errorf("parse target %q: want latest, a time such as 2026-11-20T10:15:00Z or \"10 minutes ago\", or txid:42", s)
	}
	if key == "position" {
		p, err := ParsePosition(value)
		if err != nil {
			return Target{}, err
		}
		return Target{Kind: AtPosition, Position: p}, nil
	}
	before := strings.HasPrefix(key, "before-")
	return Target{Kind: Custom, Key: strings.TrimPrefix(key, "before-"), Value: value, Before: before}, nil
}

func parseTime(s string, now time.Time) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, true
	}
	for _, layout := range localLayouts {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, true
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), true
		}
	}
	return parseAgo(s, now)
}

var units = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "second": time.Second, "m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hour": time.Hour, "d": 24 * time.Hour, "day": 24 * time.Hour, "w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

// parseAgo reads "10 minutes ago", "1 hour 30 minutes ago" and "90s ago".
func parseAgo(s string, now time.Time) (time.Time, bool) {
	rest, ok := strings.CutSuffix(s, " ago")
	if !ok {
		return time.Time{}, false
	}
	if d, err := time.ParseDuration(strings.ReplaceAll(rest, " ", "")); err == nil {
		return now.Add(-d), true
	}
	words := strings.Fields(rest)
	if len(words) == 0 || len(words)%2 != 0 {
		return time.Time{}, false
	}
	var back time.Duration
	for i := 0; i < len(words); i += 2 {
		n, err := strconv.ParseFloat(words[i], 64)
		unit, known := units[words[i+1]]
		if !known {
			unit, known = units[strings.TrimSuffix(words[i+1], "s")]
		}
		if err != nil || !known || n < 0 {
			return time.Time{}, false
		}
		back += time.Duration(n * float64(unit))
	}
	return now.Add(-back), true
}
