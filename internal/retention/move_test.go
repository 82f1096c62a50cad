package retention

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// dailies is a history of a base each midnight for so many days, each of which takes an hour, with a segment each six hours.
func dailies(days int) (history.History, time.Time) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := history.History{Source: "app"}
	for day := range days {
		at := begin.AddDate(0, 0, day)
		seq := uint64(day * 24)
		h.Bases = append(h.Bases, history.Base{ID: fmt.Sprintf("d%02d", day), Type: history.Full, Start: history.At(1, seq), Stop: history.At(1, seq+1),
			StartTime: at, StopTime: at.Add(time.Hour), StoredBytes: 100})
		for q := range uint64(4) {
			s := history.Segment{From: history.At(1, seq+q*6), To: history.At(1, seq+q*6+6), Since: at.Add(time.Duration(q*6) * time.Hour), StoredBytes: 10}
			s.Until, s.Name = s.Since.Add(6*time.Hour), fmt.Sprintf("log/1/%d-%d", s.From.Seq, s.To.Seq)
			h.Segments = append(h.Segments, s)
		}
	}
	return h, begin.AddDate(0, 0, days)
}

// carry does to a warm and a cold history what a move says.
func carry(warm, cold history.History, m Move) (history.History, history.History) {
	in := func(items []Item, name string) bool {
		return slices.ContainsFunc(items, func(i Item) bool { return i.Name == name })
	}
	moved := warm
	moved.Bases = slices.DeleteFunc(slices.Clone(warm.Bases), func(b history.Base) bool { return !in(m.Copy, "base/"+b.ID) })
	moved.Segments = slices.DeleteFunc(slices.Clone(warm.Segments), func(s history.Segment) bool { return !in(m.Copy, s.Name) })
	cold = Join(cold, moved)
	warm.Bases = slices.DeleteFunc(slices.Clone(warm.Bases), func(b history.Base) bool { return in(m.Drop, "base/"+b.ID) })
	warm.Segments = slices.DeleteFunc(slices.Clone(warm.Segments), func(s history.Segment) bool { return in(m.Drop, s.Name) })
	return warm, cold
}

// reachable reports whether one of the histories recovers a moment.
func reachable(at time.Time, all ...history.History) bool {
	return slices.ContainsFunc(all, func(h history.History) bool {
		_, err := h.Chain(history.Target{Kind: history.AtTime, Time: at})
		return err == nil
	})
}

// TestAMoveLosesNoMoment moves day by day, and asks for moments of every hour of the day that could be recovered before.
func TestAMoveLosesNoMoment(t *testing.T) {
	all, end := dailies(16)
	warm, cold := all, history.History{Source: "app"}
	moves := 0
	for day := range 12 {
		now := end.AddDate(0, 0, day)
		m := Moves(warm, Decision{}, Rules{Minimum: 2}, "archive", 5*24*time.Hour, now)
		if len(m.Drop) > 0 {
			moves++
		}
		warm, cold = carry(warm, cold, m)
		for at := all.Bases[0].StopTime; at.Before(end); at = at.Add(5 * time.Hour) {
			if !reachable(at, warm, cold) {
				t.Fatalf("day %d: %s is reachable neither here nor there, after %s", day, at, m.Summary)
			}
		}
		for at := now.AddDate(0, 0, -5); at.Before(end); at = at.Add(5 * time.Hour) {
			if !reachable(at, warm) {
				t.Fatalf("day %d: %s is younger than the age and not reachable here", day, at)
			}
		}
		if len(warm.Bases) < 2 {
			t.Fatalf("day %d: %d bases are left", day, len(warm.Bases))
		}
	}
	if moves < 4 || len(cold.Bases) < 13 || len(warm.Bases)+len(cold.Bases) != 16 {
		t.Errorf("%d moves; %d bases here, %d there", moves, len(warm.Bases), len(cold.Bases))
	}
}

func TestWhatIsNotMoved(t *testing.T) {
	h, now := dailies(20)
	after := 10 * 24 * time.Hour
	increments := h
	increments.Bases = slices.Clone(h.Bases)
	for i := 5; i < len(increments.Bases); i++ {
		increments.Bases[i].Parent = "d04"
	}
	dropped := Decision{Drop: []Item{{Kind: Base, Name: "base/d03"}, {Kind: Segment, Name: "log/1/72-78"}}}
	for _, c := range []struct {
		name   string
		h      history.History
		d      Decision
		rules  Rules
		after  time.Duration
		anchor string
		bases  int
	}{
		{"what is old enough", h, Decision{}, Rules{}, after, "d09", 9},
		{"but for what is dropped", h, dropped, Rules{}, after, "d09", 8},
		{"but for a minimum", h, Decision{}, Rules{Minimum: 15}, after, "d05", 5},
		{"but for what others build on", increments, Decision{}, Rules{}, after, "d04", 4},
		{"nothing is old enough", h, Decision{}, Rules{}, 30 * 24 * time.Hour, "", 0},
		{"nothing is there", history.History{}, Decision{}, Rules{}, after, "", 0},
	} {
		m := Moves(c.h, c.d, c.rules, "archive", c.after, now)
		if m.Anchor != c.anchor || count(m.Drop, Base).n != c.bases || slices.Contains(m.Names(), "log/1/72-78") && len(c.d.Drop) > 0 {
			t.Errorf("%s: %s", c.name, m.Summary)
		}
	}
}
