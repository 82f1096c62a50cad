package schedule

import (
	"strings"
	"time"
)

// Expr says when something is due: plain words or five cron fields, with a time zone at the end. The zero Expr is never due.
//
//	hourly, daily, weekly, monthly        spread: the moment comes from the job's name and its preferred hours
//	every 6h                              by elapsed time (m, h, d, w), whatever the clocks do; spread
//	daily at 02:30[,14:30]                every day
//	mon,thu at 03:00    mon-fri           these days, at a time or spread
//	weekly at 03:00     monthly at 03:00  spread over the days only
//	30 2 * * mon-fri    0 3 * * sun#1     minute hour day-of-month month day-of-week; L is the last day, #1 the first of its kind
//
// A wall time that a change of clocks skips is due at the change; one that comes twice is due once. Cron fields for every hour
// follow the clock instead: in both of two equal hours, and not in a skipped one. Without a zone an expression means the zone of the
// time that it is asked with.
type Expr struct {
	text string
	zone *time.Location // nil: of the time asked with
	rule rule
}

// A rule is one family of expressions.
type rule interface {
	// after returns the first moment after t, zero for never.
	after(t time.Time, zone *time.Location, s spread) time.Time
}

// maxText is far beyond any expression that a person writes, in bytes.
const maxText = 256

// Parse reads an expression. Its errors have a Hint that lists what is valid.
func Parse(text string) (Expr, error) {
	if len(text) > maxText {
		return Expr{}, &ExprError{Text: text[:20] + "…", Problem: "it is longer than 256 bytes"}
	}
	rest := strings.Fields(text)
	if len(rest) == 0 {
		return Expr{}, &ExprError{Text: text, Problem: "it is empty"}
	}
	parse := parseWords
	if isCron(rest) {
		parse = parseCron
	}
	r, words, err := parse(rest)
	if err != nil {
		return Expr{}, &ExprError{Text: text, Problem: err.Error()}
	}
	e := Expr{rule: r, text: strings.ToLower(strings.Join(rest[:words], " "))}
	switch rest = rest[words:]; len(rest) {
	case 0:
		return e, nil
	case 1:
	default:
		return Expr{}, &ExprError{Text: text, Problem: "it goes on after " + quote(e.text) + " with " + quote(strings.Join(rest, " "))}
	}
	if _, elapsed := r.(every); elapsed {
		return Expr{}, &ExprError{Text: text, Problem: "it counts elapsed time, which has no zone: leave " + quote(rest[0]) + " out"}
	}
	if _, err := parseClock(rest[0]); err == nil {
		return Expr{}, &ExprError{Text: text, Problem: `a time of day stands after "at": ` + quote(e.text+" at "+rest[0])}
	}
	if e.zone, err = parseZone(rest[0]); err != nil {
		return Expr{}, &ExprError{Text: text, Problem: err.Error()}
	}
	e.text += " " + rest[0]
	return e, nil
}

// String prints e as Parse reads it.
func (e Expr) String() string { return e.text }

// IsZero reports whether e is the zero Expr, which is never due.
func (e Expr) IsZero() bool { return e.rule == nil }

// Equal reports whether both say the same in the same words.
func (e Expr) Equal(o Expr) bool { return e.text == o.text }

// MarshalText prints e; the zero Expr is empty.
func (e Expr) MarshalText() ([]byte, error) { return []byte(e.text), nil }

// UnmarshalText reads what MarshalText printed.
func (e *Expr) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*e = Expr{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err == nil {
		*e = parsed
	}
	return err
}

// Next returns the first moment after t at which e is due, zero for never; words without a time of day come at the beginning
// of what they could be spread over. Timing spreads them.
func (e Expr) Next(t time.Time) time.Time { return Timing{Expr: e}.Next(t) }

// title is e as it stands before the name of a job: "daily", "mon,thu", "every 6h", "" for cron fields.
func (e Expr) title() string {
	if _, ok := e.rule.(*cronRule); ok {
		return ""
	}
	words, _, _ := strings.Cut(e.text, " at ")
	if f := strings.Fields(words); len(f) > 1 && e.zone != nil && f[len(f)-1] == e.zone.String() {
		return strings.Join(f[:len(f)-1], " ")
	}
	return words
}

// An ExprError says what is wrong with an expression or with hours.
type ExprError struct {
	Text    string // as it was written
	Problem string
	hours   bool
}

func (e *ExprError) Error() string {
	what := "expression "
	if e.hours {
		what = "hours "
	}
	return "parse " + what + quote(e.Text) + ": " + e.Problem
}

// Hint lists what is valid.
func (e *ExprError) Hint() string {
	if e.hours {
		return `valid are: 22:00-04:00; mon-fri 08:00-18:00; sat,sun; several of them with ";" between, and a zone at the end (22:00-04:00 Europe/Berlin)`
	}
	return "valid are: hourly; daily; weekly; monthly; every 6h; daily at 02:30; mon,thu at 03:00; five cron fields (30 2 * * *); " +
		"and a zone at the end (daily at 02:30 Europe/Berlin)"
}

func quote(text string) string { return `"` + strings.ToValidUTF8(text, "?") + `"` }
