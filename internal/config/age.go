package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Age is a stretch of time in days, weeks or hours. It is written as in "30d", "2w" or "12h".
type Age time.Duration

var ageUnits = []struct {
	name string
	unit time.Duration
}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}}

// maxAge is ten times what any lock is for; more is a slip of the hand that nobody could undo.
const maxAge = 100 * 366 * 24 * time.Hour

// ParseAge reads an age.
func ParseAge(s string) (Age, error) {
	for _, u := range ageUnits {
		number, ok := strings.CutSuffix(strings.TrimSpace(s), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
		if err == nil && n >= 0 && n <= int64(maxAge/u.unit) {
			return Age(time.Duration(n) * u.unit), nil
		}
	}
	return 0, fmt.Errorf("parse age %q: want a whole number and a unit, as in 30d, 2w or 12h", s)
}

// UnmarshalText reads what a person wrote.
func (a *Age) UnmarshalText(b []byte) error {
	parsed, err := ParseAge(string(b))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// MarshalText writes the largest unit that divides it.
func (a Age) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (a Age) String() string {
	for _, u := range ageUnits {
		if d := time.Duration(a); d != 0 && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(time.Duration(a)/time.Hour), 10) + "h"
}
