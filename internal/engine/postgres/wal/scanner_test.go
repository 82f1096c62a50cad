package wal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)

const segment = 1 << 20

// scan feeds b in pieces of random size up to most.
func scan(at LSN, o Options, b []byte, most int) (*Scanner, []Record, []Event, error) {
	var records []Record
	var events []Event
	o.Each = func(r Record) { records = append(records, r) }
	o.Event = func(e Event) { events = append(events, e) }
	s := NewScanner(at, o)
	for len(b) > 0 {
		n := min(len(b), 1+rand.IntN(most))
		if err := s.Feed(b[:n]); err != nil {
			return s, records, events, err
		}
		b = b[n:]
	}
	return s, records, events, nil
}

// sample is log of several segments with all that can be cut cut.
func sample() *builder {
	w := newBuilder(5*segment, segment)
	for i := range 400 {
		w.heap(rand.IntN(9000))
		w.commit(uint32(1000+i), noon.Add(time.Duration(i)*time.Second))
		switch {
		case i == 100:
			w.restorePoint("before-migration", noon)
		case i == 150:
			w.record(managerXLOG, infoSwitch, 0, nil)
		case i == 200:
			w.heap(3 * segment)
		}
	}
	return w
}

func TestScannerFindsEveryRecord(t *testing.T) {
	w := sample()
	for _, most := range []int{1, 7, 100, 9000, 1 << 20} {
		s, records, events, err := scan(w.start, Options{Verify: true, SystemID: 42}, w.b, most)
		if err != nil {
			t.Fatalf("pieces of up to %d: %v", most, err)
		}
		if diff := cmp.Diff(w.records, records); diff != "" {
			t.Fatalf("pieces of up to %d: records (-written +found):\n%s", most, diff)
		}
		commits := 0
		for _, e := range events {
			switch e.Kind {
			case Commit:
				if want := noon.Add(time.Duration(commits) * time.Second); e.XID != uint32(1000+commits) || !e.Time.Equal(want) {
					t.Fatalf("commit %d: transaction %d at %s, want %s", commits, e.XID, e.Time, want)
				}
				commits++
			case RestorePoint:
				if e.Name != "before-migration" || !e.Time.Equal(noon) {
					t.Errorf("restore point %q at %s", e.Name, e.Time)
				}
			}
		}
		if commits != 400 || len(events) != 402 {
			t.Errorf("%d commits in %d events", commits, len(events))
		}
		if s.Boundary() != w.pos() || s.SegmentSize() != segment || s.Version() != 15 || s.Timeline() != 1 {
			t.Errorf("boundary %s of %s, segments of %d, version %d, timeline %d", s.Boundary(), w.pos(), s.SegmentSize(), s.Version(), s.Timeline())
		}
	}
}

func TestScannerBeginsAnywhere(t *testing.T) {
	w := sample()
	for range 60 {
		from := rand.IntN(len(w.records))
		r := w.records[from]
		_, records, _, err := scan(r.End, Options{Prev: r.Start, SegmentSize: segment}, w.b[r.End-w.start:], 9000)
		if err != nil {
			t.Fatalf("from %s: %v", r.End, err)
		}
		if want := w.records[from+1:]; len(want)+len(records) > 0 && !cmp.Equal(want, records) {
			t.Fatalf("from %s: %d records, want %d", r.End, len(records), len(want))
		}
	}
	for at := w.start; at < w.pos(); at += 23 * PageSize {
		s, records, _, err := scan(at, Options{SegmentSize: segment}, w.b[at-w.start:], 9000)
		if err != nil && w.b[at-w.start] != 0 {
			t.Fatalf("from page %s: %v", at, err)
		}
		if err == nil && s.Boundary() != w.pos() {
			t.Fatalf("from page %s: boundary %s", at, s.Boundary())
		}
		if n := len(records); n > 0 && !cmp.Equal(records, w.records[len(w.records)-n:]) {
			t.Fatalf("from page %s: other records", at)
		}
	}
}

func TestScannerEnds(t *testing.T) {
	w := newBuilder(segment, segment)
	for range 50 {
		w.heap(rand.IntN(5000))
	}
	end := w.pos()
	tails := map[string]struct {
		tail  []byte
		zeros bool
	}{
		"zeros":          {make([]byte, 3*PageSize), true},
		"an older file":  {append(w.encode(10, 0, 7, make([]byte, 20))[:8], bytes.Repeat([]byte{9}, 64)...), false},
		"a short length": {le32(12), false},
	}
	for name, c := range tails {
		_, records, _, err := scan(w.start, Options{}, append(bytes.Clone(w.b), c.tail...), 5000)
		var ended *EndError
		if !errors.As(err, &ended) || ended.At != end || ended.Zeros != c.zeros || len(records) != len(w.records) {
			t.Errorf("%s: %v after %d of %d records, want the end at %s", name, err, len(records), len(w.records), end)
		}
	}
}

func TestScannerNoticesDamage(t *testing.T) {
	w := newBuilder(segment, segment)
	for i := range 30 {
		w.heap(200)
		w.commit(uint32(i+1), noon)
	}
	used := func(at LSN) bool { // not padding, and not in what a page header leaves free
		for _, r := range w.records {
			if r.Start <= at && at < r.Start+LSN(r.Length) && (at < r.Start+18 || at >= r.Start+20) {
				return true
			}
		}
		return false
	}
	for range 500 {
		i := rand.IntN(len(w.b))
		if !used(w.start + LSN(i)) {
			continue
		}
		b := bytes.Clone(w.b)
		b[i] ^= 1 << rand.IntN(8)
		s, _, _, err := scan(w.start, Options{Verify: true}, b, 5000)
		// A longer length makes the scanner wait for more; it then has not passed the place either.
		if at := w.start + LSN(i); err == nil && s.Boundary() > at {
			t.Fatalf("a flipped bit at %s was not noticed", at)
		}
	}
}

func TestScannerFollowsAnOverwrittenRecord(t *testing.T) {
	w := newBuilder(segment, segment)
	w.heap(8000)
	last := w.prev
	w.heap(20000) // goes over pages; the server crashes before the last is written
	whole := w.records[0]
	w.records = w.records[:1]
	w.b = w.b[:2*PageSize]
	w.prev = last
	w.header(0, FirstIsOverwriteContRecord)
	w.record(managerXLOG, 0xD0, 0, data(append(le64(uint64(whole.End)), le64(0)...)))
	w.commit(9, noon)
	for _, most := range []int{1, 100, 1 << 20} {
		_, records, events, err := scan(w.start, Options{Verify: true}, w.b, most)
		if err != nil || !cmp.Equal(records, w.records) || len(events) != 1 {
			t.Fatalf("%v, %d events, records:\n%s", err, len(events), cmp.Diff(w.records, records))
		}
	}
}

func TestBoundary(t *testing.T) {
	w := sample()
	for range 60 {
		upTo := w.start + LSN(rand.IntN(len(w.b)))
		var want Record
		for _, r := range w.records {
			if r.End <= upTo {
				want = r
			}
		}
		got, r, err := Boundary(bytes.NewReader(w.b), w.start, upTo, Options{})
		if want.End == 0 {
			if err != nil || got != w.start {
				t.Fatalf("up to %s: %s, %v", upTo, got, err)
			}
		} else if err != nil || got != want.End || r != want {
			t.Fatalf("up to %s: %s with %+v, want %+v (%v)", upTo, got, r, want, err)
		}
	}
	inside := w.start + 8*segment
	for _, r := range w.records {
		if r.Length > segment {
			inside = (r.Start + segment).SegmentStart(segment)
		}
	}
	if _, _, err := Boundary(bytes.NewReader(w.b[inside-w.start:]), inside, inside+1000, Options{}); !errors.Is(err, ErrNoBoundary) {
		t.Errorf("inside of a record: %v", err)
	}
}

func TestPreparedCommitNamesItsTransaction(t *testing.T) {
	for _, version := range []struct {
		magic uint16
		stats int
	}{{0xD101, 0}, {0xD10D, 0}, {0xD110, stats15Size}, {0xD118, stats18Size}} {
		w := newBuilder(segment, segment)
		w.magic = version.magic
		xinfo := uint32(hasDatabase | hasSubxacts | hasRelations | hasInvals | hasTwophase | 1<<7)
		d := le64(uint64(Stamp(noon)))
		if version.stats > 0 {
			xinfo |= hasStats
		}
		d = append(append(d, le32(xinfo)...), make([]byte, databaseSize)...)
		d = append(append(d, le32(3)...), make([]byte, 3*xidSize)...)
		d = append(append(d, le32(2)...), make([]byte, 2*relationSize)...)
		if version.stats > 0 {
			d = append(append(d, le32(5)...), make([]byte, 5*version.stats)...)
		}
		d = append(append(d, le32(4000)...), make([]byte, 4000*invalSize)...)
		d = append(append(d, le32(731)...), "gid\x00"...)
		w.record(managerXact, infoCommitPrepared|infoHasXinfo, 99, data(d))
		_, _, events, err := scan(w.start, Options{Verify: true}, w.b, 3000)
		if err != nil || len(events) != 1 || events[0].XID != 731 || !events[0].Prepared || !events[0].Time.Equal(noon) {
			t.Errorf("magic %#x: %+v, %v", version.magic, events, err)
		}
	}
}

func FuzzScanner(f *testing.F) {
	w := newBuilder(segment, segment)
	for i := range 20 {
		w.heap(rand.IntN(3000))
		w.commit(uint32(i+1), noon)
	}
	f.Add(w.b, uint64(w.start), 100)
	f.Add(w.b[40:], uint64(w.start)+40, 9000)
	f.Add(w.b[PageSize:], uint64(w.start)+PageSize, 1)
	f.Fuzz(func(t *testing.T, b []byte, at uint64, most int) {
		if most < 1 || at > 1<<62 {
			t.Skip()
		}
		a, one, events, errA := scan(LSN(at), Options{}, b, len(b)+1)
		c, two, eventsC, errC := scan(LSN(at), Options{}, b, min(most, 1<<20))
		if (errA == nil) != (errC == nil) || a.Boundary() != c.Boundary() || !cmp.Equal(one, two) || !cmp.Equal(events, eventsC) {
			t.Fatalf("%v at %s in one piece, %v at %s in several", errA, a.Boundary(), errC, c.Boundary())
		}
		for i, r := range one {
			if r.End <= r.Start || i > 0 && r.Start < one[i-1].End {
				t.Fatalf("record %+v after %+v", r, one[max(0, i-1)])
			}
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	w := newBuilder(segment, 16<<20)
	w.start = 16 << 20
	for len(w.b) < 64<<20 { // about what pgbench writes
		for range 4 {
			w.heap(20 + rand.IntN(120))
		}
		w.commit(1, noon)
		if rand.IntN(8) == 0 {
			w.heap(8000)
		}
	}
	for name, o := range map[string]Options{"plain": {}, "verify": {Verify: true}, "events": {Verify: true, Event: func(Event) {}}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(w.b)))
			for b.Loop() {
				s := NewScanner(w.start, o)
				for p := w.b; len(p) > 0; p = p[min(len(p), 128<<10):] {
					if err := s.Feed(p[:min(len(p), 128<<10)]); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(len(w.records)), "records")
		})
	}
}
