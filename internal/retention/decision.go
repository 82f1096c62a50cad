package retention

import (
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Kind is a kind of object that can be dropped.
type Kind string

// The kinds.
const (
	Base    Kind = "base"
	Segment Kind = "segment"
	Report  Kind = "report"
)

// Item is one object, and why it goes or stays.
type Item struct {
	Kind  Kind      `json:"kind"`
	Name  string    `json:"name"` // as the repository takes it: "base/ID", the name of a segment, "report/ID"
	Time  time.Time `json:"time"` // of a base its stop, of a segment its end, of a report when it was made
	Bytes int64     `json:"bytes"`
	Why   []string  `json:"why"` // every rule that keeps it, or the one reason for which it goes
}

// Stretch is log that stays: contiguous segments, and the base for which.
type Stretch struct {
	From     history.Position `json:"from"`
	To       history.Position `json:"to"`
	Since    time.Time        `json:"since"`
	Until    time.Time        `json:"until"`
	Segments int              `json:"segments"`
	Bytes    int64            `json:"bytes"`
	Base     string           `json:"base"` // the oldest base that needs it
}

// Decision is what may be dropped and what stays. The slices are in order of time.
type Decision struct {
	Source  string    `json:"source"`
	Time    time.Time `json:"time"` // for which it was decided
	Drop    []Item    `json:"drop"`
	Keep    []Item    `json:"keep"` // bases and reports
	Log     []Stretch `json:"log"`  // that stays
	Summary string    `json:"summary"`
}

// Names are those of all that may be dropped, as the repository takes them.
func (d Decision) Names() []string {
	names := make([]string, 0, len(d.Drop))
	for _, item := range d.Drop {
		names = append(names, item.Name)
	}
	return names
}

// Bytes is what dropping frees.
func (d Decision) Bytes() (sum int64) {
	for _, item := range d.Drop {
		sum += item.Bytes
	}
	return sum
}

// tally counts items of one kind.
type tally struct {
	n     int
	bytes int64
}

func count(items []Item, kind Kind) (t tally) {
	for _, item := range items {
		if item.Kind == kind {
			t.n++
			t.bytes += item.Bytes
		}
	}
	return t
}

// summarize writes the one sentence.
func (d *Decision) summarize(promise string) {
	var gone []string
	for _, kind := range []Kind{Base, Segment, Report} {
		if t := count(d.Drop, kind); t.n > 0 {
			gone = append(gone, fmt.Sprintf("%s (%s)", plural(t.n, string(kind)), size(t.bytes)))
		}
	}
	stay := plural(count(d.Keep, Base).n, "base") + " stay"
	if count(d.Keep, Base).n == 1 {
		stay += "s"
	}
	if len(gone) == 0 {
		d.Summary = "nothing is dropped; " + stay + promise
		return
	}
	d.Summary = "drop " + join(gone) + "; " + stay + promise
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func join(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// size writes bytes with a binary unit.
func size(n int64) string {
	unit, value := 0, float64(n)
	for value >= 1024 && unit < 4 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, [...]string{"", "KiB", "MiB", "GiB", "TiB"}[unit])
}

// span writes a duration in the largest unit that it is a whole number of.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return d.String()
	}
}
