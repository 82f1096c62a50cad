package history

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var day = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// drawHistory makes what a source with promotions, restarts and losses leaves behind: per timeline a log that was
// cut into segments and, differently, into tips, of which some are gone, and bases.
func drawHistory(t *rapid.T) History {
	var h History
	begins := map[uint32]int{}
	for timeline := uint32(1); timeline <= uint32(rapid.IntRange(1, 4).Draw(t, "timelines")); timeline++ {
		begin := rapid.IntRange(1, 30).Draw(t, "begin")
		if timeline > 1 && rapid.Bool().Draw(t, "forked") {
			parent := uint32(rapid.IntRange(1, int(timeline)-1).Draw(t, "parent"))
			begin = max(begin, begins[parent])
			h.Forks = append(h.Forks, Fork{Child: timeline, At: At(parent, uint64(begin))})
		}
		begins[timeline] = begin
		end := begin + rapid.IntRange(0, 30).Draw(t, "length")
		offset := rapid.IntRange(0, 3).Draw(t, "offset") * 100
		h.Segments = append(h.Segments, drawLog(t, timeline, begin, end, offset, false)...)
		h.Segments = append(h.Segments, drawLog(t, timeline, begin, end, offset, true)...)
		for range rapid.IntRange(0, 2).Draw(t, "bases") {
			stop := rapid.IntRange(begin, end).Draw(t, "stop")
			start := rapid.IntRange(max(begin, stop-3), stop).Draw(t, "start")
			h.Bases = append(h.Bases, Base{
				ID: fmt.Sprintf("b%d", len(h.Bases)), Start: At(timeline, uint64(start)), Stop: At(timeline, uint64(stop)),
				StartTime: minute(start + offset), StopTime: minute(stop + offset),
			})
		}
	}
	return h
}

func minute(n int) time.Time { return day.Add(time.Duration(n) * time.Minute) }

func drawLog(t *rapid.T, timeline uint32, begin, end, offset int, tips bool) (log []Segment) {
	for at := begin; at < end; {
		to := min(end, at+rapid.IntRange(1, 8).Draw(t, "size"))
		late := rapid.SampledFrom([]int{0, 0, 0, 0, 30}).Draw(t, "late") // seconds in which nobody was watching
		if rapid.IntRange(0, 9).Draw(t, "lost") > 0 {
			log = append(log, Segment{
				Name: fmt.Sprintf("s%d-%d-%d-%v", timeline, at, to, tips), From: At(timeline, uint64(at)), To: At(timeline, uint64(to)),
				Since: minute(at + offset).Add(time.Duration(late) * time.Second), Until: minute(to + offset), Tip: tips,
			})
		}
		at = to
	}
	return log
}

// reachable decides by exhaustion, and by other means than Chain, what an operator would decide with a pencil.
func reachable(h History, timeline uint32, seq uint64) bool {
	until, first := map[uint32]uint64{timeline: math.MaxUint64}, map[uint32]uint64{}
	for n := timeline; ; {
		i := slices.IndexFunc(h.Forks, func(f Fork) bool { return f.Child == n })
		if i < 0 {
			break
		}
		at := h.Forks[i].At
		first[n] = at.Seq
		until[at.Timeline] = min(at.Seq, until[n])
		n = at.Timeline
	}
	type piece struct{ from, to uint64 }
	var pieces []piece
	for _, s := range h.Segments {
		if u, ok := until[s.To.Timeline]; ok && s.From.Seq < u && s.From.Seq >= first[s.To.Timeline] {
			pieces = append(pieces, piece{s.From.Seq, min(s.To.Seq, u)})
		}
	}
	for _, b := range h.Bases {
		if u, ok := until[b.Stop.Timeline]; !ok || b.Stop.Seq > u || b.Stop.Seq < first[b.Stop.Timeline] || b.Stop.Seq > seq {
			continue
		}
		ends := map[uint64]bool{b.Start.Seq: true}
		for _, p := range pieces {
			if p.from <= b.Start.Seq && b.Start.Seq < p.to {
				ends[p.to] = true
			}
		}
		for range pieces {
			for _, p := range pieces {
				ends[p.to] = ends[p.to] || ends[p.from]
			}
		}
		for end, ok := range ends {
			if ok && end >= seq && end >= b.Stop.Seq {
				return true
			}
		}
	}
	return false
}

func TestChainReachesExactlyWhatTheLogReaches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		for timeline := uint32(1); timeline <= 4; timeline++ {
			for seq := uint64(0); seq <= 65; seq++ {
				target := Target{Kind: AtPosition, Position: At(timeline, seq)}
				c, err := h.Chain(target)
				if want := reachable(h, timeline, seq); want != (err == nil) {
					t.Fatalf("chain to %s: reachable %v, got %v", target, want, err)
				}
				if err != nil {
					requireNearest(t, h, target, err)
					continue
				}
				if c.Stop.Seq != seq {
					t.Fatalf("chain to %s stops at %s", target, c.Stop)
				}
				requireJoined(t, c, seq)
			}
		}
	})
}

// requireJoined demands that the segments of a chain join at equal positions or at a fork, and reach seq with none
// too many.
func requireJoined(t *rapid.T, c Chain, seq uint64) {
	at := c.Base.Start.Seq
	for i, s := range c.Segments {
		to := s.To.Seq
		for _, f := range c.Forks {
			if f.At.Timeline == s.To.Timeline {
				to = min(to, f.At.Seq)
			}
		}
		if i == 0 && s.From.Seq > at || i > 0 && s.From.Seq != at {
			t.Fatalf("%s begins at %s, the log before it ends at %d", s.Name, s.From, at)
		}
		if at >= seq {
			t.Fatalf("%s is not needed to reach %d", s.Name, seq)
		}
		at = to
	}
	if max(at, c.Base.Start.Seq) < seq || c.Base.Stop.Seq > seq {
		t.Fatalf("segments end at %d, base stops at %s, target is %d", at, c.Base.Stop, seq)
	}
}

func requireNearest(t *rapid.T, h History, target Target, err error) {
	unreachable, ok := errors.AsType[*UnreachableError](err)
	if !ok {
		t.Fatalf("chain to %s: %v", target, err)
	}
	if unreachable.Error() == "" || unreachable.Hint() == "" {
		t.Fatal("no words")
	}
	for _, m := range []*Moment{unreachable.Before, unreachable.After} {
		if m == nil {
			continue
		}
		if _, err := h.Chain(Target{Kind: AtPosition, Position: At(target.Position.Timeline, m.Position.Seq)}); err != nil {
			t.Fatalf("near %s is %s, which cannot be reached: %v", target, m.Position, err)
		}
	}
}

func TestEveryMomentOfAWindowHasAChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		main := newFamily(h).mainWindows()
		for half := rapid.IntRange(0, 15).Draw(t, "first"); half < 2*400; half += 16 {
			moment := day.Add(time.Duration(half) * 30 * time.Second)
			inside := slices.ContainsFunc(main, func(w Window) bool { return !moment.Before(w.Since) && !moment.After(w.Until) })
			c, err := h.Chain(Target{Kind: AtTime, Time: moment})
			if inside != (err == nil) {
				t.Fatalf("moment %s: inside a window %v, chain %v\n%s", clock(moment), inside, err, render(h, nil))
			}
			if err == nil && (c.Base.StopTime.After(moment) || !c.Until.Equal(moment)) {
				t.Fatalf("moment %s: base of %s, until %s", clock(moment), clock(c.Base.StopTime), clock(c.Until))
			}
		}
	})
}

func TestWindowsAndGapsDoNotOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		for _, g := range h.AllGaps() {
			if g.Until.Before(g.Since) || g.Reason == "" || g.To.Before(g.From) {
				t.Fatalf("gap %+v", g)
			}
		}
		for _, w := range h.Windows() {
			if w.Until.Before(w.Since) || w.End.Seq < w.Start.Seq {
				t.Fatalf("window %+v", w)
			}
			for _, p := range []Position{w.Start, w.End} {
				if _, err := h.Chain(Target{Kind: AtPosition, Position: At(w.End.Timeline, p.Seq)}); err != nil {
					t.Fatalf("edge of %+v: %v", w, err)
				}
			}
		}
	})
}

func TestALostSegmentIsNotUsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		before, err := h.Chain(Target{Kind: Latest})
		if err != nil || len(before.Segments) == 0 {
			return
		}
		lost := rapid.SampledFrom(before.Segments).Draw(t, "lost")
		h.Segments = slices.DeleteFunc(slices.Clone(h.Segments), func(s Segment) bool { return s.Name == lost.Name })
		after, err := h.Chain(Target{Kind: AtPosition, Position: before.Stop})
		if err != nil {
			requireNearest(t, h, Target{Kind: AtPosition, Position: before.Stop}, err)
			return
		}
		requireJoined(t, after, before.Stop.Seq)
		if slices.ContainsFunc(after.Segments, func(s Segment) bool { return s.Name == lost.Name }) {
			t.Fatalf("%s is lost and used", lost.Name)
		}
	})
}

// TestYearsOfSegments asks a history of the size that years of protection leave for everything; each answer must
// come from one pass over it, not from one for each base.
func TestYearsOfSegments(t *testing.T) {
	var h History
	for i := range 100_000 {
		h.Segments = append(h.Segments, Segment{
			Name: fmt.Sprint(i), From: At(1, uint64(i)*10), To: At(1, uint64(i+1)*10), Since: minute(i), Until: minute(i + 1),
		})
	}
	for i := range 1_000 {
		at := At(1, uint64(i)*1000)
		h.Bases = append(h.Bases, Base{ID: fmt.Sprint(i), Start: at, Stop: at, StartTime: minute(i * 100), StopTime: minute(i * 100)})
	}
	begin := time.Now()
	if w := h.Windows(); len(w) != 1 || len(h.AllGaps()) != 0 {
		t.Fatalf("windows %v", w)
	}
	c, err := h.Chain(Target{Kind: AtTime, Time: minute(55_555)})
	if err != nil || c.Base.ID != "555" || len(c.Segments) != 55 {
		t.Fatalf("chain from %s of %d segments: %v", c.Base.ID, len(c.Segments), err)
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("took %s", d)
	} else {
		t.Logf("took %s", d)
	}
}
