package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Span is a stretch of time. It is written as in "500ms", "5s", "10m", "12h", "30d" or "8w".
type Span time.Duration

var spanUnits = []struct {
	name string
	unit time.Duration
}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

// maxSpan is ten times what any lock is for; more is a slip of the hand that nobody could undo.
const maxSpan = 100 * 366 * 24 * time.Hour

// ParseSpan reads a stretch of time.
func ParseSpan(s string) (Span, error) {
	for _, u := range slices.Backward(spanUnits) { // ms before s and m
		number, ok := strings.CutSuffix(strings.TrimSpace(s), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err == nil && n >= 0 && n <= int64(maxSpan/u.unit) {
			return Span(time.Duration(n) * u.unit), nil
		}
	}
	return 0, fmt.Errorf("parse span %q: want a whole number and a unit, as in 500ms, 5s, 10m, 12h, 30d or 8w", s)
}

// UnmarshalText reads what a person wrote.
func (a *Span) UnmarshalText(b []byte) error {
	parsed, err := ParseSpan(string(b))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// MarshalText writes it in the largest unit that divides it.
func (a Span) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (a Span) String() string {
	for _, u := range spanUnits {
		if d := time.Duration(a); d != 0 && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(time.Duration(a)/time.Second), 10) + "s"
}
