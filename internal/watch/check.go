package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/schedule"
)

// Check says what of a repository is read.
type Check struct {
	Deep  bool      // it is decrypted and decoded, too
	Begun time.Time // of the round: what was read since then is not read again
	Until time.Time // nothing more begins to be read then
}

// longestRead is for how long a check keeps the other jobs of its source from beginning. What it does not come to is read
// later, when those had their turn.
const longestRead = time.Hour

// check reads the repositories of a source, and mends what another one can mend. A round reads all of a repository, what was not
// read for longest first; it goes on where it was left, by a bound or by a kill.
func (w *Watch) check(ctx context.Context, s *watched, deep bool) (result, error) {
	var out result
	var words []string
	var failed error
	names := s.toRead(deep, w.c.Now())
	for _, name := range names {
		c := Check{Deep: deep, Begun: w.begin(ctx, s, name, deep), Until: w.c.Now().Add(longestRead / time.Duration(len(names)))}
		report, err := w.c.Hands.Check(ctx, s.Name, name, c)
		out.bytes += report.Bytes
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("check repository %s: %w", name, err))
			continue
		}
		text := fmt.Sprintf("%s: %d objects, %d damaged", name, report.Objects, len(report.Damage))
		damage, mended := w.mend(ctx, s, name, c, report.Damage)
		if len(mended) > 0 {
			text += fmt.Sprintf("; %d mended", len(mended))
		}
		if report.Left > 0 {
			text += fmt.Sprintf("; %d left for later", report.Left)
		}
		words = append(words, text)
		s.mu.Lock()
		s.Checks[name] = s.Checks[name].read(c, report.Left > 0, damage, mended, w.c.Now())
		w.note(ctx, s)
		s.mu.Unlock()
		switch {
		case len(damage) == 0:
		case slices.Contains(s.Repositories, name):
			w.renew(ctx, s, name, damage)
		default: // a new base brings nothing back of what is old
			failed = errors.Join(failed, fmt.Errorf("check repository %s: it holds %d damaged objects that no other has: %s", name, len(damage), damage[0]))
		}
	}
	out.detail = strings.Join(words, "; ")
	return out, failed
}

// toRead are the repositories that a check reads: those with a round under way, and those whose last one is half of its time ago. If
// there are none somebody asked for it all the same, and all are read.
func (s *watched) toRead(deep bool, now time.Time) (names []string) {
	every := time.Duration(s.CheckEvery)
	if deep {
		every = time.Duration(s.DeepCheckEvery)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, name := range s.Everywhere() {
		if !slices.Contains(s.Repositories, name) && s.histories[name].base.ID == "" {
			continue // nothing was moved there yet
		}
		all = append(all, name)
		c := s.Checks[name]
		if r := c.round(deep); !r.Begun.IsZero() || now.Sub(c.last(deep)) >= every/2 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return all
	}
	return names
}

// begin returns when the round that is under way began, and begins one if there is none.
func (w *Watch) begin(ctx context.Context, s *watched, name string, deep bool) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.Checks[name]
	r := c.round(deep)
	if r.Begun.IsZero() {
		r.Begun = w.c.Now()
		s.Checks[name] = c.with(deep, r)
		w.note(ctx, s)
	}
	return r.Begun
}

// mend has damage repaired from another repository. It returns what is left, and what is as it must be again. What was damaged for
// a deep check is decrypted once more.
func (w *Watch) mend(ctx context.Context, s *watched, name string, c Check, damage []repository.Damage) ([]repository.Damage, map[string]bool) {
	if len(damage) == 0 {
		return nil, nil
	}
	left, mended := w.repair(ctx, s, name, damage)
	if !c.Deep || len(mended) == 0 {
		return left, mended
	}
	again, err := w.c.Hands.Check(ctx, s.Name, name, c)
	if err != nil {
		return left, mended // the round is not over before they are read
	}
	for _, d := range again.Damage {
		if !slices.Contains(left, d) {
			left = append(left, d)
		}
	}
	return left, mended
}

// repair mends what can be mended, and returns what is left and what was mended.
func (w *Watch) repair(ctx context.Context, s *watched, name string, damage []repository.Damage) ([]repository.Damage, map[string]bool) {
	began := w.c.Now()
	r, err := w.c.Hands.Repair(ctx, s.Name, name, damage)
	mended := map[string]bool{}
	for _, object := range r.Objects {
		mended[object] = true
	}
	e := audit.Entry{Since: began, What: audit.Repair, Source: s.Name, Repository: name, Objects: r.Objects, Bytes: r.Bytes, Outcome: audit.OK,
		Why: fmt.Sprintf("a check found %d damaged objects", len(damage))}
	if err != nil {
		e.Outcome, e.Error = audit.Failed, err.Error()
	}
	w.write(ctx, e)
	left := slices.DeleteFunc(slices.Clone(damage), func(d repository.Damage) bool { return mended[d.Object] })
	if n := len(damage) - len(left); n > 0 {
		w.tellRepair(s, name, r.Objects, n)
	}
	return left, mended
}

// renew has a new base taken at once where damage cannot be mended: from there on everything can be recovered again.
func (w *Watch) renew(ctx context.Context, s *watched, name string, damage []repository.Damage) {
	kinds := slices.Sorted(maps.Keys(s.Base))
	if len(kinds) == 0 {
		return
	}
	id := schedule.ID{Source: s.Name, Kind: KindBase + "/" + kinds[0]}
	e := schedule.Event{Cause: schedule.Request, At: w.c.Now(), Detail: fmt.Sprintf("repository %s holds %d damaged objects that no other can mend", name, len(damage))}
	if _, err := w.runner.Trigger(ctx, id, e); err != nil {
		w.c.Log.Warn("a new base is not taken", "source", s.Name, "err", err)
	}
}

// checked says when a repository was read, and what is damaged there.
type checked struct {
	Shallow   time.Time `json:"shallow,omitzero"` // when the last round that came to its end began
	Deep      time.Time `json:"deep,omitzero"`
	Round     round     `json:"round,omitzero"` // under way
	DeepRound round     `json:"deep_round,omitzero"`
	Damage    []string  `json:"damage,omitempty"`
	Since     time.Time `json:"since,omitzero"`       // of Damage
	DeepFound bool      `json:"deep_found,omitempty"` // Damage is what a deep check found
}

// round is a reading of all of a repository that is not at its end.
type round struct {
	Begun time.Time `json:"begun"` // zero: none is under way
	Found []string  `json:"found,omitempty"`
}

func (r round) IsZero() bool { return r.Begun.IsZero() }

func (c checked) round(deep bool) round {
	if deep {
		return c.DeepRound
	}
	return c.Round
}

// last is when the last round began that came to its end; zero: none did.
func (c checked) last(deep bool) time.Time {
	if deep {
		return c.Deep
	}
	return c.Shallow
}

func (c checked) with(deep bool, r round) checked {
	if deep {
		c.DeepRound = r
	} else {
		c.Round = r
	}
	return c
}

// read is c after a part of a round was read, or with more unset the last part, which found what is in found. What was found before
// stands until a whole round did not find it again, or until it was mended, and what a deep check found is not taken back by one
// that reads less.
func (c checked) read(k Check, more bool, found []repository.Damage, mended map[string]bool, now time.Time) checked {
	r := c.round(k.Deep)
	for _, d := range found {
		r.Found = union(r.Found, fmt.Sprintf("%s: %s", d.Object, d.Detail))
	}
	before := slices.DeleteFunc(slices.Clone(c.Damage), func(text string) bool {
		object, _, _ := strings.Cut(text, ": ")
		return mended[object]
	})
	damage := r.Found
	if more || c.DeepFound && !k.Deep {
		damage = union(before, damage...)
	}
	if more {
		c = c.with(k.Deep, r)
	} else {
		c = c.with(k.Deep, round{})
		c.Shallow = k.Begun
		if k.Deep {
			c.Deep = k.Begun
		}
	}
	switch {
	case len(damage) == 0:
		c.Since = time.Time{}
	case c.Since.IsZero():
		c.Since = now
	}
	c.DeepFound = len(damage) > 0 && (c.DeepFound && (more || !k.Deep) || k.Deep && len(r.Found) > 0)
	c.Damage = damage
	return c
}

// union is list with what of more it does not have.
func union(list []string, more ...string) []string {
	for _, text := range more {
		if !slices.Contains(list, text) {
			list = append(slices.Clip(list), text)
		}
	}
	return list
}

// told is c after checks that others made, as far as they are newer than what is known here. Rounds that are under way here go on.
func (c checked) told(checks []Checked) checked {
	checks = slices.SortedFunc(slices.Values(checks), func(a, b Checked) int { return a.At.Compare(b.At) })
	here, deepHere := c.Round, c.DeepRound
	c.Round, c.DeepRound = round{}, round{}
	for _, o := range checks {
		read := c.Shallow
		switch {
		case !o.Deep && o.At.After(c.Shallow):
			c = c.read(Check{Begun: o.At}, false, o.Damage, nil, o.At)
		case o.Deep && o.At.After(c.Deep):
			// One that found nothing takes nothing back that was found after it.
			if o.At.After(read) || len(o.Damage) > 0 {
				c = c.read(Check{Deep: true, Begun: o.At}, false, o.Damage, nil, o.At)
			}
			c.Deep = o.At
			if read.After(o.At) {
				c.Shallow = read
			}
		}
	}
	c.Round, c.DeepRound = here, deepHere
	return c
}
