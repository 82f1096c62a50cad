package schedule

import "time"

// A wall time is what a clock on a wall shows, kept as a time in UTC: so days have 24 hours, every minute comes once, and a
// rule that is computed in it knows nothing of zones. instantOf brings it back.

// wallOf returns what clocks in zone show at t.
func wallOf(t time.Time, zone *time.Location) time.Time {
	return t.UTC().Add(offsetAt(t, zone))
}

func offsetAt(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}

// instantOf returns the first moment at which clocks in zone show wall, or, where a change of clocks skips it, the moment
// of the change. It never decreases when wall grows.
func instantOf(wall time.Time, zone *time.Location) time.Time {
	guess := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), zone)
	start, end := guess.ZoneBounds()
	var found time.Time
	for _, in := range []time.Time{before(start), guess, end} {
		if in.IsZero() {
			continue
		}
		off := offsetAt(in, zone)
		t := wall.Add(-off).In(zone)
		if offsetAt(t, zone) == off && (found.IsZero() || t.Before(found)) {
			found = t
		}
	}
	if !found.IsZero() {
		return found
	}
	for _, change := range []time.Time{start, end} {
		if change.IsZero() {
			continue
		}
		if was := wallOf(before(change), zone).Add(time.Second); !wall.Before(was) && wall.Before(wallOf(change, zone)) {
			return change.In(zone)
		}
	}
	return guess
}

// before is the last second before a change of clocks; zero stays zero.
func before(change time.Time) time.Time {
	if change.IsZero() {
		return change
	}
	return change.Add(-time.Second)
}

// fixed returns the first moment after t at which clocks in zone show a wall time that next names: the first of two, and
// the change itself where the change skips it. next returns the first such wall time after the given one, zero for never.
func fixed(t time.Time, zone *time.Location, next func(time.Time) time.Time) time.Time {
	// Wall times up to the one at t have come already, so the search may begin there.
	for wall := next(wallOf(t, zone)); !wall.IsZero(); wall = next(wall) {
		if at := instantOf(wall, zone); at.After(t) {
			return at
		}
	}
	return time.Time{}
}

// paced is fixed for what comes every hour: it runs in both of two equal hours, and what a change skips is left to
// the hour after it. Otherwise an autumn night would have a gap of two hours.
func paced(t time.Time, zone *time.Location, next func(time.Time) time.Time) time.Time {
	from := t
	off := offsetAt(t, zone)
	_, change := t.In(zone).ZoneBounds()
	for {
		wall := next(from.UTC().Add(off))
		if wall.IsZero() {
			return wall
		}
		if at := wall.Add(-off).In(zone); change.IsZero() || at.Before(change) {
			return at
		}
		from, off = before(change), offsetAt(change, zone)
		_, change = change.In(zone).ZoneBounds()
	}
}
