package archive

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestALineWithoutBase lets log become durable behind a gap, before and after its base is there: only then may a
// repository be said to hold it.
func TestALineWithoutBase(t *testing.T) {
	moment := func(timeline uint32, seq uint64, second int) history.Moment {
		return history.Moment{Position: history.At(timeline, seq), Time: time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC)}
	}
	base := func(m history.Moment) history.Base {
		return history.Base{ID: m.Position.String(), Start: m.Position, Stop: m.Position, StartTime: m.Time, StopTime: m.Time}
	}
	log := func(from, to history.Moment) history.Segment {
		return history.Segment{Name: to.Position.String(), From: from.Position, To: to.Position, Since: from.Time, Until: to.Time}
	}
	one, two, three, four := moment(1, 10, 1), moment(1, 20, 2), moment(2, 30, 3), moment(2, 40, 4)
	h := history.History{Bases: []history.Base{base(one)}, Segments: []history.Segment{log(one, two)}, Whole: two}

	var v view
	expect := func(when string, want history.Moment) {
		t.Helper()
		if got := v.recoverable(); !got.Position.Equal(want.Position) || !got.Time.Equal(want.Time) {
			t.Errorf("%s: recoverable up to %v, want %v", when, got, want)
		}
	}
	expect("nothing is there", history.Moment{})
	v.read(h, 0)
	expect("one line", two)
	v.enter(three)
	expect("behind the gap", two)
	v.durable, v.whole = four, four
	expect("log behind the gap", two)

	gap := history.Gap{From: two.Position, To: three.Position, Since: two.Time, Until: three.Time, Reason: "test"}
	h.Gaps, h.Segments, h.Whole = []history.Gap{gap}, append(h.Segments, log(three, four)), four
	var again view
	again.read(h, 0) // a restart before the base
	if got := again.recoverable(); !got.Position.Equal(two.Position) {
		t.Errorf("after a restart: recoverable up to %v, want %v", got, two)
	}

	v.take(base(three))
	expect("with its base", four)
	h.Bases = append(h.Bases, base(three))
	again.read(h, 0)
	if got := again.recoverable(); !got.Position.Equal(four.Position) || !got.Time.Equal(four.Time) {
		t.Errorf("after a restart with its base: recoverable up to %v, want %v", got, four)
	}
}

// TestAForkWithoutLog restarts when the repository knows that the source went on to another timeline, and has nothing of it yet: what comes there
// goes on from the base of the timeline before.
func TestAForkWithoutLog(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	one, two := history.At(1, 10), history.At(1, 20)
	h := history.History{
		Bases:    []history.Base{{ID: "b1", Start: one, Stop: one, StartTime: at(1), StopTime: at(1)}},
		Segments: []history.Segment{{Name: "s1", From: one, To: two, Since: at(1), Until: at(2)}},
		Forks:    []history.Fork{{Child: 2, At: two}, {Child: 3, At: history.At(2, 20)}},
		Whole:    history.Moment{Position: two, Time: at(2)},
	}
	var v view
	v.read(h, 0)
	if m := v.recoverable(); m.Position.Seq != 20 || !m.Time.Equal(at(2)) {
		t.Errorf("recoverable up to %v, want %v", m, h.Whole)
	}
	v.durable = history.Moment{Position: history.At(3, 30), Time: at(3)} // what comes next
	if m := v.recoverable(); !m.Position.Equal(history.At(3, 30)) || !m.Time.Equal(at(3)) {
		t.Errorf("with log behind the fork: recoverable up to %v", m)
	}
}

// TestStatusOfALineWithoutBase: that the source committed nothing more up to now says nothing of a line that cannot be recovered.
func TestStatusOfALineWithoutBase(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	old := history.Moment{Position: history.At(1, 20), Time: at(2)}
	now := history.Moment{Position: history.At(2, 30), Time: at(9)}
	s := &shipper{a: &Archive{}}
	s.view = view{bases: 1, durable: now, line: line{begin: history.At(2, 21), base: old.Position, before: old}}
	if got := s.status(at(10), now, nil); !got.Time.Equal(old.Time) || got.Lag != 8*time.Second {
		t.Errorf("without its base: safe until %v, lag %v", got.Time, got.Lag)
	}
	s.view.take(history.Base{Stop: history.At(2, 25)})
	if got := s.status(at(10), now, nil); !got.Time.Equal(now.Time) || got.Lag != 0 {
		t.Errorf("with its base: safe until %v, lag %v", got.Time, got.Lag)
	}
}

// TestABaseThatComesWhileHistoryIsRead: what was read before the base was there does not take it back.
func TestABaseThatComesWhileHistoryIsRead(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	s := &shipper{a: &Archive{c: Config{Now: func() time.Time { return at(5) }}}, beatNow: make(chan struct{}, 1)}
	h := history.History{}
	b := history.Base{ID: "b1", Start: history.At(1, 1), Stop: history.At(1, 1), StartTime: at(1), StopTime: at(1), StoredBytes: 7}
	s.hasBase(b)
	for range 2 {
		s.update(func(v *view) { v.read(h, 0) })
		if v := s.look(); v.bases != 1 || v.stored != 7 || !v.lastBase.Equal(at(5)) {
			t.Errorf("after reading what was there before: %+v", v)
		}
	}
	h.Bases = []history.Base{b}
	s.update(func(v *view) { v.read(h, 7) })
	if v := s.look(); v.bases != 1 || v.stored != 7 {
		t.Errorf("after reading it: %+v", v)
	}
}
