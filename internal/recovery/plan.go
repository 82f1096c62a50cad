package recovery

import (
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Limits are how fast a restore goes, as the last drills measured it. Zero means that nothing was measured.
type Limits struct {
	LayBytesPerSecond    float64 // fetching, opening and writing a base, in bytes of plain data
	ReplayBytesPerSecond float64 // replaying log, in bytes of plain log
}

// Guesses in place of what was not measured: a small server with one disk and a store at 1 Gbit/s.
const (
	guessedLay    = 100 << 20
	guessedReplay = 25 << 20
)

// Plan says from what a target will be recovered, how much that is and how long it takes. It is a value: to print
// it changes nothing.
type Plan struct {
	Source string         `json:"source"`
	Engine string         `json:"engine"`
	Asked  history.Target `json:"asked"`  // in the words of who asked
	Target history.Target `json:"target"` // what that came to
	Chain  history.Chain  `json:"chain"`

	FetchBytes      int64    `json:"fetch_bytes"`  // of objects, as stored
	LayBytes        int64    `json:"lay_bytes"`    // of the base, plain
	ReplayBytes     int64    `json:"replay_bytes"` // of the log, plain
	ExpectedSeconds float64  `json:"expected_seconds"`
	Guessed         bool     `json:"expected_is_guess"` // no drill has measured this source yet
	Reason          string   `json:"reason"`            // why this base, in one sentence
	Warnings        []string `json:"warnings,omitempty"`
	Local           *Local   `json:"local,omitempty"` // what comes from the spool of this host; nil for nothing
}

// PlanFor finds the chain to a target and says what it costs. The error is *history.UnreachableError if no window
// holds the target. It reads no clock and does no I/O.
func PlanFor(h history.History, t history.Target, limits Limits) (Plan, error) {
	chain, err := h.Chain(t)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Source: h.Source, Engine: h.Engine, Asked: t, Target: t, Chain: chain, LayBytes: chain.Base.Bytes, FetchBytes: chain.Base.StoredBytes}
	for _, s := range chain.Segments {
		p.FetchBytes += s.StoredBytes
		p.ReplayBytes += s.Bytes
	}
	p.ExpectedSeconds, p.Guessed = limits.expect(p.LayBytes, p.ReplayBytes)
	p.Reason = reason(h, chain)
	p.Warnings = warnings(h, t, chain)
	return p, nil
}

func (l Limits) expect(lay, replay int64) (seconds float64, guessed bool) {
	guessed = l.LayBytesPerSecond <= 0 || replay > 0 && l.ReplayBytesPerSecond <= 0
	if l.LayBytesPerSecond <= 0 {
		l.LayBytesPerSecond = guessedLay
	}
	if l.ReplayBytesPerSecond <= 0 {
		l.ReplayBytesPerSecond = guessedReplay
	}
	return float64(lay)/l.LayBytesPerSecond + float64(replay)/l.ReplayBytesPerSecond, guessed
}

func reason(h history.History, c history.Chain) string {
	s := fmt.Sprintf("base %s of %s is the nearest before the target", c.Base.ID, stamp(c.Base.StopTime))
	if len(h.Bases) == 1 {
		s = fmt.Sprintf("base %s of %s is the only one", c.Base.ID, stamp(c.Base.StopTime))
	}
	switch len(c.Segments) {
	case 0:
		return s + ", and no log is needed"
	case 1:
		return s + ", and one segment of log leads on to it"
	default:
		return s + fmt.Sprintf(", and %d segments of log lead on to it", len(c.Segments))
	}
}

// warnings name what the source has beyond an open-ended target and cannot be reached.
func warnings(h history.History, t history.Target, c history.Chain) (all []string) {
	if t.Kind != history.Latest && t.Kind != history.Immediate {
		return nil
	}
	for _, g := range h.AllGaps() {
		if !g.From.Before(c.Stop) {
			all = append(all, fmt.Sprintf("what came after position %s cannot be reached: %s", g.From, g.Reason))
		}
	}
	return all
}

// matchesNamed bounds how many commits a warning names.
const matchesNamed = 4

// NoteMatches warns of a target that several commits go by. The first was taken.
func (p *Plan) NoteMatches(matches []history.Mark) {
	if len(matches) < 2 {
		return
	}
	var others []string
	for _, m := range matches[1:min(len(matches), matchesNamed)] {
		others = append(others, fmt.Sprintf("%s of %s", history.Target{Kind: history.AtPosition, Position: m.Position}, stamp(m.Time)))
	}
	if more := len(matches) - matchesNamed; more > 0 {
		others = append(others, fmt.Sprintf("%d older", more))
	}
	p.Warnings = append(p.Warnings, fmt.Sprintf("%s:%s is not the only one: this is the newest of %d, of %s; another is reached by its time or position: %s",
		p.Asked.Key, p.Asked.Value, len(matches), stamp(matches[0].Time), strings.Join(others, ", ")))
}

// Needs lists the names of the segments and the base that the plan uses, for people and for errors.
func (p Plan) Needs() []string {
	names := []string{"base/" + p.Chain.Base.ID}
	for _, s := range p.Chain.Segments {
		names = append(names, s.Name)
	}
	return names
}

// Expected is how long the restore should take.
func (p Plan) Expected() time.Duration {
	return time.Duration(p.ExpectedSeconds * float64(time.Second))
}

// String is the plan as a person reads it, several lines without a newline at the end.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "recover %s to %s", p.Source, p.Asked)
	if p.Asked.Kind != history.AtPosition && !p.Chain.Stop.IsZero() {
		fmt.Fprintf(&b, " (position %s)", p.Chain.Stop.Plain())
	}
	fmt.Fprintf(&b, "\n  because  %s\n", p.Reason)
	fmt.Fprintf(&b, "  base     %s, %s, position %s of %s\n", p.Chain.Base.ID, size(p.LayBytes), p.Chain.Base.Stop.Plain(), stamp(p.Chain.Base.StopTime))
	if n := len(p.Chain.Segments); n > 0 {
		first, last := p.Chain.Segments[0], p.Chain.Segments[n-1]
		fmt.Fprintf(&b, "  log      %d × segment, %s, position %s to %s\n", n, size(p.ReplayBytes), first.From.Plain(), last.To.Plain())
	}
	if p.Local != nil {
		fmt.Fprintf(&b, "  spool    %s\n", p.Local)
	}
	guess := ""
	if p.Guessed {
		guess = fmt.Sprintf(" (no drill has measured it yet: reckoned with %s/s for the base and %s/s for the log)", size(guessedLay), size(guessedReplay))
	}
	fmt.Fprintf(&b, "  fetches  %s, takes about %s%s", size(p.FetchBytes), max(p.Expected(), time.Second).Round(time.Second), guess)
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "\n  warning  %s", w)
	}
	return b.String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func size(n int64) string {
	const unit = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(unit)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, unit[i])
}
