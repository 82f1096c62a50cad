package schedule

import (
	"fmt"
	"time"
	_ "time/tzdata" // a container without zone files knows Europe/Berlin too
)

// parseZone reads a name of the IANA database, or UTC.
func parseZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone: leave the zone out for the host's own", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone: write a name like Europe/Berlin or UTC, capitals as there", name)
	}
	return zone, nil
}

// zoneOr is the zone of an expression, or where it names none, the one of the time that it is asked with.
func zoneOr(zone *time.Location, t time.Time) *time.Location {
	if zone != nil {
		return zone
	}
	return t.Location()
}
