package policy

import (
	"maps"
	"slices"
	"time"
)

// Memory is what Judge must be told of the last time, by Finding.Key. The zero Memory remembers nothing. It is a value:
// store it as JSON.
type Memory map[string]Episode

// Episode is a promise that is or was broken.
type Episode struct {
	Finding Finding       `json:"finding"` // as it was said last
	Told    bool          `json:"told"`    // it lasted for its patience
	Rest    time.Duration `json:"rest"`
	Kept    time.Time     `json:"kept,omitzero"` // since when the promise is kept again; zero: it is not
}

// next turns breaches into findings and into what to remember.
func (m Memory) next(breaches []breach, now time.Time) ([]Finding, Memory) {
	next, findings := Memory{}, []Finding{}
	for _, b := range breaches {
		e := Episode{Finding: b.Finding, Rest: b.rest}
		if before, ok := m[b.Key()]; ok {
			e.Told = before.Told
			if before.Finding.Since.Before(e.Finding.Since) {
				e.Finding.Since = before.Finding.Since
			}
		}
		e.Finding.Since = earlier(e.Finding.Since, now)
		e.Told = e.Told || now.Sub(e.Finding.Since) >= b.patience
		next[b.Key()] = e
		if e.Told {
			findings = append(findings, e.Finding)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		e := m[key]
		if _, broken := next[key]; broken || !e.Told {
			continue
		}
		if e.Kept.IsZero() || now.Before(e.Kept) {
			e.Kept = now
		}
		if now.Sub(e.Kept) >= e.Rest {
			continue
		}
		next[key] = e
		f := e.Finding
		f.Resting = true
		f.Reason = "kept again for " + span(now.Sub(e.Kept)) + " of the " + span(e.Rest) + " that end it; before: " + f.Reason
		findings = append(findings, f)
	}
	return findings, next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
