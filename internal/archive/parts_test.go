package archive

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

func TestTipsStayFewAndAreSeldomRewritten(t *testing.T) {
	for _, size := range []func(i int) int64{
		func(int) int64 { return 300 },
		func(int) int64 { return 64 << 10 },
		func(int) int64 { return 1 + rand.Int64N(1<<20) },
		func(i int) int64 { return 1 << (i % 20) },
	} {
		var tips []tip
		var total, written int64
		for i := range 5000 {
			n := size(i)
			from := mergeFrom(tips, n)
			sum := n
			for _, m := range tips[from:] {
				sum += m.bytes
			}
			tips = append(tips[:from], tip{span: span{bytes: sum}})
			total, written = total+n, written+sum
			if most := fanOut * (level(total) + 1); len(tips) > most {
				t.Fatalf("%d tips after %d bytes", len(tips), total)
			}
		}
		if written > 8*total {
			t.Errorf("%d bytes written for %d", written, total)
		}
	}
}

func TestTipsAreNotMergedOverHoles(t *testing.T) {
	var tips []tip
	for i := range 100 {
		from := mergeFrom(tips, 100)
		held := i == 50
		if held {
			from = len(tips)
		}
		for _, m := range tips[min(from+1, len(tips)):] {
			if m.held {
				t.Fatal("merged over a hole")
			}
		}
		if from < len(tips) {
			held = tips[from].held
		}
		tips = append(tips[:from], tip{span: span{bytes: 100 * int64(len(tips)-from+1), held: held}})
	}
}

func TestBacklogKnowsTheOldest(t *testing.T) {
	var b backlog
	begin := time.Now()
	for i := 1; i <= 20_000; i++ {
		b.add(history.At(1, uint64(i)), begin.Add(time.Duration(i)*time.Second), 10)
	}
	now := begin.Add(20_000 * time.Second)
	if len(b.batches) > maxBatches {
		t.Errorf("%d batches", len(b.batches))
	}
	if age, bytes := b.behind(history.At(1, 0), now); age != 19_999*time.Second || bytes != 200_000 {
		t.Errorf("%s, %d bytes", age, bytes)
	}
	if age, bytes := b.behind(history.At(1, 20_000), now); age != 0 || bytes != 0 {
		t.Errorf("%s, %d bytes", age, bytes)
	}
	if age, bytes := b.behind(history.At(1, 19_995), now); age != 4*time.Second || bytes != 50 {
		t.Errorf("%s, %d bytes", age, bytes)
	}
	b.release(history.At(1, 19_990))
	if age, bytes := b.behind(history.At(1, 19_990), now); age != 9*time.Second || bytes != 100 {
		t.Errorf("%s, %d bytes", age, bytes)
	}
	// Joined batches say at worst a little more than is true.
	if age, bytes := b.behind(history.At(1, 19_995), now); age != 4*time.Second || bytes != 50 {
		t.Errorf("%s, %d bytes", age, bytes)
	}
}

func TestLagIsOfTheLastMinutes(t *testing.T) {
	var w lagWindow
	now := time.Now()
	for i := range 1000 {
		w.add(now, time.Duration(i+1)*time.Millisecond)
	}
	near := func(got, want time.Duration) bool { return got >= want && got <= want*106/100 }
	l := w.read(now.Add(time.Minute))
	if l.Commits != 1000 || !near(l.P50, 500*time.Millisecond) || !near(l.P99, 990*time.Millisecond) || l.Max != time.Second {
		t.Errorf("%+v", l)
	}
	if l := w.read(now.Add(6 * time.Minute)); l.Commits != 0 || l.P99 != 0 {
		t.Errorf("%+v", l)
	}
}

func sealed(t *testing.T, s *shelf, from, to uint64) {
	t.Helper()
	_, err := s.put(func(w io.Writer) (pack.Sealed, error) {
		n, err := w.Write(make([]byte, 100+to))
		return pack.Sealed{Segment: history.Segment{From: history.At(1, from), To: history.At(1, to)}, Size: int64(n)}, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestShelfKeepsSegmentsUntilReleased(t *testing.T) {
	dir := t.TempDir()
	s, err := openShelf(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(5) {
		sealed(t, s, i*10, i*10+10)
	}
	if _, err := s.put(func(io.Writer) (pack.Sealed, error) { return pack.Sealed{}, io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
	if err := s.release(history.At(1, 25)); err != nil {
		t.Fatal(err)
	}
	for _, junk := range []string{"tip-1", "condensed.tmp", "00000000000000000099.segment"} {
		if err := os.WriteFile(filepath.Join(dir, junk), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = openShelf(dir); err != nil {
		t.Fatal(err)
	}
	if seg, ok := s.after(history.At(1, 30)); !ok || seg.Segment.To.Seq != 40 {
		t.Errorf("%+v, %v", seg, ok)
	}
	if n, bytes := s.stats(); n != 3 || bytes != 300+30+40+50 {
		t.Errorf("%d segments, %d bytes", n, bytes)
	}
	if err := s.release(history.At(1, 50)); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != cutName {
		t.Errorf("%v, %v", left, err)
	}
	if s, err = openShelf(dir); err != nil || s.end().Position != history.At(1, 50) {
		t.Errorf("the next segment begins at %v, %v", s.end(), err)
	}
}
