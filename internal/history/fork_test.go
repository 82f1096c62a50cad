package history

import (
	"testing"
	"time"
)

// TestWhatIsToldWhereATimelineBeginsComesWithIt has a segment that leads nowhere: it holds what the source said of a timeline
// before any log of it came.
func TestWhatIsToldWhereATimelineBeginsComesWithIt(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	h := History{
		Bases: []Base{{ID: "b", Start: At(1, 10), Stop: At(1, 20), StopTime: at(20)}},
		Segments: []Segment{
			{Name: "old", From: At(1, 10), To: At(1, 100), Since: at(10), Until: at(100)},
			{Name: "told", From: At(2, 80), To: At(2, 80), Since: at(80), Until: at(80), Tip: true},
			{Name: "new", From: At(2, 80), To: At(2, 120), Since: at(80), Until: at(120), Tip: true},
		},
		Forks: []Fork{{Child: 2, At: At(1, 80)}},
	}
	for _, x := range []struct {
		target Target
		want   []string
	}{
		{Target{Kind: Latest}, []string{"old", "told", "new"}},
		{Target{Kind: AtPosition, Position: At(2, 90)}, []string{"old", "told", "new"}},
		{Target{Kind: AtPosition, Position: At(2, 80)}, []string{"old"}},
		{Target{Kind: AtPosition, Position: At(1, 90)}, []string{"old"}},
	} {
		c, err := h.Chain(x.target)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range c.Segments {
			got = append(got, s.Name)
		}
		if len(got) != len(x.want) {
			t.Errorf("%s: the chain is %v, want %v", x.target, got, x.want)
			continue
		}
		for i := range got {
			if got[i] != x.want[i] {
				t.Errorf("%s: the chain is %v, want %v", x.target, got, x.want)
			}
		}
	}
}
