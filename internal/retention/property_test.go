package retention

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/backstaydb/backstay/internal/history"
)

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// without is the history after the drop.
func without(h history.History, d Decision) history.History {
	gone := map[string]bool{}
	for _, name := range d.Names() {
		gone[name] = true
	}
	h.Bases = slices.DeleteFunc(slices.Clone(h.Bases), func(b history.Base) bool { return gone["base/"+b.ID] })
	h.Segments = slices.DeleteFunc(slices.Clone(h.Segments), func(s history.Segment) bool { return gone[s.Name] })
	return h
}

func minute(n int) time.Time {
	return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
}

// drawHistory makes what a source with promotions, restarts, losses and upgrades leaves behind. A minute of it stands for a
// day.
func drawHistory(t *rapid.T) history.History {
	h := history.History{Source: "shop"}
	begins := map[uint32]int{}
	for timeline := uint32(1); timeline <= uint32(rapid.IntRange(1, 4).Draw(t, "timelines")); timeline++ {
		begin := rapid.IntRange(1, 30).Draw(t, "begin")
		if timeline > 1 && rapid.Bool().Draw(t, "forked") {
			parent := uint32(rapid.IntRange(1, int(timeline)-1).Draw(t, "parent"))
			begin = max(begin, begins[parent])
			h.Forks = append(h.Forks, history.Fork{Child: timeline, At: history.At(parent, uint64(begin))})
		}
		begins[timeline] = begin
		end := begin + rapid.IntRange(0, 30).Draw(t, "length")
		offset := rapid.IntRange(0, 3).Draw(t, "offset") * 100
		system := rapid.SampledFrom([]string{"a", "a", "b", "c"}).Draw(t, "system")
		h.Segments = append(h.Segments, drawLog(t, timeline, begin, end, offset, false)...)
		h.Segments = append(h.Segments, drawLog(t, timeline, begin, end, offset, true)...)
		for range rapid.IntRange(0, 5).Draw(t, "bases") {
			stop := rapid.IntRange(begin, end).Draw(t, "stop")
			start := rapid.IntRange(max(begin, stop-3), stop).Draw(t, "start")
			b := history.Base{ID: fmt.Sprintf("b%d", len(h.Bases)), SystemID: system, StoredBytes: 1,
				Start: history.At(timeline, uint64(start)), Stop: history.At(timeline, uint64(stop)), StartTime: minute(start + offset), StopTime: minute(stop + offset)}
			if len(h.Bases) > 0 && rapid.Bool().Draw(t, "increment") {
				b.Parent = h.Bases[rapid.IntRange(0, len(h.Bases)-1).Draw(t, "on")].ID
			}
			h.Bases = append(h.Bases, b)
		}
	}
	return h
}

func drawLog(t *rapid.T, timeline uint32, begin, end, offset int, tips bool) (log []history.Segment) {
	for at := begin; at < end; {
		to := min(end, at+rapid.IntRange(1, 8).Draw(t, "size"))
		late := rapid.SampledFrom([]int{0, 0, 0, 0, 30, -600}).Draw(t, "late") // seconds in which nobody was watching, or a clock set back
		if rapid.IntRange(0, 9).Draw(t, "lost") > 0 {
			log = append(log, history.Segment{
				Name: fmt.Sprintf("s%d-%d-%d-%v", timeline, at, to, tips), From: history.At(timeline, uint64(at)), To: history.At(timeline, uint64(to)),
				Since: minute(at + offset).Add(time.Duration(late) * time.Second), Until: minute(to + offset), Tip: tips,
			})
		}
		at = to
	}
	return log
}

func drawRules(t *rapid.T, h history.History) (Rules, Facts) {
	small := func(name string) int { return rapid.IntRange(0, 3).Draw(t, name) }
	r := Rules{
		Window: time.Duration(rapid.SampledFrom([]int{0, 1, 10, 40, 120, 300}).Draw(t, "window")) * time.Minute,
		Last:   small("last"), Daily: small("daily"), Weekly: small("weekly"), Minimum: small("minimum"),
		Log: rapid.SampledFrom([]Log{LogToStop, LogOnward}).Draw(t, "log"),
	}
	if rapid.Bool().Draw(t, "held") {
		from := rapid.IntRange(0, 300).Draw(t, "from")
		r.Holds = []Hold{{From: minute(from), To: minute(from + small("days")*20), Reason: "case 12", By: "anna"}}
	}
	var f Facts
	for _, b := range h.Bases {
		switch rapid.IntRange(0, 9).Draw(t, "fact") {
		case 0:
			f.Proofs = append(f.Proofs, Proof{Base: b.ID, Time: b.StopTime})
		case 1:
			f.Damaged = append(f.Damaged, b.ID)
		case 2:
			f.Claims = append(f.Claims, Claim{Base: b.ID, By: "restore", Until: minute(500)})
		}
	}
	return r, f
}

func TestSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		r, f := drawRules(t, h)
		now := minute(rapid.IntRange(0, 400).Draw(t, "now"))
		requireSound(t, h, r, f, now)
	})
}

// requireSound demands of a decision what the package promises of every one.
func requireSound(t fataler, h history.History, r Rules, f Facts, now time.Time) {
	t.Helper()
	d := Decide(h, r, f, now)
	after := without(h, d)
	requireComplete(t, h, d)
	requireMoments(t, h, after, r, now)
	requireCounts(t, h, after, r, f)
	if again := Decide(after, r, f, now); len(again.Drop) != len(droppedReports(d)) {
		t.Fatalf("deciding again drops %v\nfirst: %+v", again.Drop, d)
	}
	for _, name := range d.Names() {
		for _, c := range f.Claims {
			if name == "base/"+c.Base && now.Before(c.Until) {
				t.Fatalf("%s is claimed and dropped", name)
			}
		}
	}
}

// droppedReports are those that a second decision would name again, because the facts still list them.
func droppedReports(d Decision) (reports []Item) {
	for _, item := range d.Drop {
		if item.Kind == Report {
			reports = append(reports, item)
		}
	}
	return reports
}

// requireComplete demands a reason for each object, no tip among what goes, and no base without those it builds on.
func requireComplete(t fataler, h history.History, d Decision) {
	t.Helper()
	bases, why := 0, map[string]bool{}
	for _, item := range append(slices.Clone(d.Keep), d.Drop...) {
		if len(item.Why) == 0 || item.Why[0] == "" {
			t.Fatalf("no reason for %+v", item)
		}
		if item.Kind == Base {
			bases++
		}
	}
	segments := 0
	for _, l := range d.Log {
		segments += l.Segments
	}
	for _, item := range d.Drop {
		why[item.Name] = true
		if item.Kind == Segment {
			segments++
		}
	}
	if bases != len(h.Bases) || segments != len(h.Segments) || d.Summary == "" {
		t.Fatalf("%d of %d bases, %d of %d segments are decided on", bases, len(h.Bases), segments, len(h.Segments))
	}
	for _, s := range h.Segments {
		if s.Tip && why[s.Name] {
			t.Fatalf("tip %s is dropped", s.Name)
		}
	}
	for _, b := range h.Bases {
		if b.Parent != "" && !why["base/"+b.ID] && why["base/"+b.Parent] {
			t.Fatalf("base %s stays and %s, which it builds on, goes", b.ID, b.Parent)
		}
	}
}

// requireMoments tries moments on every timeline, by chains: what could be recovered in the window, or in a hold, still
// can be.
func requireMoments(t fataler, h, after history.History, r Rules, now time.Time) {
	t.Helper()
	inside := func(at time.Time) bool {
		for _, hold := range r.Holds {
			if !at.Before(hold.From) && (hold.To.IsZero() || !at.After(hold.To)) && !hold.ended(now) {
				return true
			}
		}
		return r.Window > 0 && !at.Before(now.Add(-r.Window))
	}
	for _, w := range h.Windows() {
		step := max(w.Until.Sub(w.Since)/40, time.Second)
		for at := w.Since; !at.After(w.Until); at = at.Add(step) {
			target := history.Target{Kind: history.AtTime, Time: at, Position: history.At(w.End.Timeline, 0)}
			if _, err := h.Chain(target); err != nil || !inside(at) {
				continue
			}
			if _, err := after.Chain(target); err != nil {
				t.Fatalf("%s could be recovered and cannot be any more: %v\nafter: %+v", target, err, after.Windows())
			}
		}
	}
}

// requireCounts demands that the newest bases stay, of whatever system they are, and can still be recovered.
func requireCounts(t fataler, h, after history.History, r Rules, f Facts) {
	t.Helper()
	usable := func(h history.History) (list []*base) {
		for _, b := range newDecider(h, r, f, time.Time{}).bases {
			if b.fault == "" {
				list = append(list, b)
			}
		}
		return list
	}
	before, left := usable(h), usable(after)
	if want := min(max(r.minimum(), r.Last), len(before)); len(left) < want {
		t.Fatalf("%d bases can be recovered, want %d", len(left), want)
	}
	for _, b := range left {
		if !slices.ContainsFunc(before, func(o *base) bool { return o.ID == b.ID }) {
			t.Fatalf("base %s has become usable by a drop", b.ID)
		}
	}
	for _, b := range before {
		stays := slices.ContainsFunc(after.Bases, func(o history.Base) bool { return o.ID == b.ID })
		if stays && !slices.ContainsFunc(left, func(o *base) bool { return o.ID == b.ID }) {
			t.Fatalf("base %s stays and can no longer be recovered", b.ID)
		}
	}
}

// TestRulesAreAUnion: what any rule keeps alone is kept by all of them together.
func TestRulesAreAUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		r, f := drawRules(t, h)
		now := minute(rapid.IntRange(0, 400).Draw(t, "now"))
		all := without(h, Decide(h, r, f, now))
		for _, alone := range []Rules{{Window: r.Window}, {Last: r.Last}, {Daily: r.Daily, Log: r.Log}, {Weekly: r.Weekly, Log: r.Log}} {
			if !alone.limited() {
				continue
			}
			alone.Minimum = r.Minimum
			one := without(h, Decide(h, alone, f, now))
			for _, b := range one.Bases {
				if !slices.ContainsFunc(all.Bases, func(o history.Base) bool { return o.ID == b.ID }) {
					t.Fatalf("%+v keeps %s, all rules together do not", alone, b.ID)
				}
			}
		}
	})
}

// TestYears decides on the size that years of protection leave.
func TestYears(t *testing.T) {
	h := history.History{Source: "shop"}
	for i := range 100_000 {
		h.Segments = append(h.Segments, history.Segment{Name: fmt.Sprint(i), From: history.At(1, uint64(i)*10), To: history.At(1, uint64(i+1)*10),
			Since: minute(i * 10), Until: minute(i*10 + 10), StoredBytes: 1})
	}
	for i := range 1_000 {
		h.Bases = append(h.Bases, history.Base{ID: fmt.Sprint(i), Start: history.At(1, uint64(i)*1000), Stop: history.At(1, uint64(i)*1000+5), StopTime: minute(i * 1000)})
	}
	begin := time.Now()
	d := Decide(h, Rules{Window: 30 * 24 * time.Hour, Daily: 14, Weekly: 8, Monthly: 12, Yearly: 3}, Facts{}, minute(1_000_000))
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %s", took)
	} else {
		t.Logf("took %s: %s", took, d.Summary)
	}
	if n := count(d.Keep, Base).n; n < 40 || n > 80 {
		t.Errorf("%d bases stay", n)
	}
}
