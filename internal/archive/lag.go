package archive

import (
	"math"
	"sort"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// backlog remembers, for all that was appended to the spool and is not everywhere yet, when its oldest commit was
// made and how many bytes there are. Its size is bounded: old batches are joined two by two.
type backlog struct {
	mu      sync.Mutex
	batches []batch
	bytes   int64 // appended since the beginning
	dropped int64 // of these, before the first batch that is remembered
}

// batch is what was appended together.
type batch struct {
	to    history.Position
	first time.Time // of its oldest commit
	bytes int64     // appended up to its end
}

const maxBatches = 4096

func (b *backlog) add(to history.Position, first time.Time, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += bytes
	b.batches = append(b.batches, batch{to, first, b.bytes})
	if len(b.batches) < maxBatches {
		return
	}
	// The older half is joined: how long a repository has been behind stays exact for its oldest commit.
	half, joined := len(b.batches)/2, b.batches[:0]
	for i := 0; i+1 < half; i += 2 {
		one, two := b.batches[i], b.batches[i+1]
		joined = append(joined, batch{two.to, one.first, two.bytes})
	}
	b.batches = append(joined, b.batches[half&^1:]...)
}

// behind says how old the oldest commit after at is, and how many bytes there are.
func (b *backlog) behind(at history.Position, now time.Time) (age time.Duration, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.search(at)
	if i == len(b.batches) {
		return 0, 0
	}
	bytes = b.bytes
	if i > 0 {
		bytes -= b.batches[i-1].bytes
	} else {
		bytes -= b.dropped
	}
	return max(0, now.Sub(b.batches[i].first)), bytes
}

func (b *backlog) search(at history.Position) int {
	return sort.Search(len(b.batches), func(i int) bool { return at.Before(b.batches[i].to) })
}

// release forgets what is everywhere.
func (b *backlog) release(to history.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.search(to); i > 0 {
		b.dropped = b.batches[i-1].bytes
		b.batches = append(b.batches[:0], b.batches[i:]...)
	}
}

// Lag is how long commits took from their stamp to the receipt of a repository, of those of the last five minutes.
type Lag struct {
	Commits       int64
	P50, P99, Max time.Duration
}

// lagWindow counts lags in buckets that grow by 5 %, for each of the last windows of time.
type lagWindow struct {
	mu    sync.Mutex
	slots [lagSlots]lagSlot
}

const (
	lagSlots   = 30
	lagSlot10s = 10 * time.Second
	lagGrowth  = 1.05
	lagBuckets = 400 // 100 µs up to nine hours
)

type lagSlot struct {
	at     int64
	counts *[lagBuckets]uint32 // made when it is needed: most sources of a large host rest
	max    time.Duration
}

func lagBucket(d time.Duration) int {
	if d <= 100*time.Microsecond {
		return 0
	}
	i := int(math.Ceil(math.Log(float64(d)/float64(100*time.Microsecond)) / math.Log(lagGrowth)))
	return min(i, lagBuckets-1)
}

// add counts one commit.
func (w *lagWindow) add(now time.Time, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := now.UnixNano() / int64(lagSlot10s)
	s := &w.slots[at%lagSlots]
	if s.at != at {
		if s.counts == nil {
			s.counts = new([lagBuckets]uint32)
		}
		clear(s.counts[:])
		*s = lagSlot{at: at, counts: s.counts}
	}
	s.counts[lagBucket(d)]++
	s.max = max(s.max, d)
}

// read sums up the last five minutes.
func (w *lagWindow) read(now time.Time) Lag {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := now.UnixNano() / int64(lagSlot10s)
	var counts [lagBuckets]int64
	var l Lag
	for i := range w.slots {
		s := &w.slots[i]
		if s.at <= at-lagSlots || s.at > at || s.counts == nil {
			continue
		}
		l.Max = max(l.Max, s.max)
		for j, n := range s.counts {
			counts[j] += int64(n)
			l.Commits += int64(n)
		}
	}
	l.P50, l.P99 = quantile(&counts, l.Commits, 0.50, l.Max), quantile(&counts, l.Commits, 0.99, l.Max)
	return l
}

// quantile is the upper end of the bucket in which the quantile lies.
func quantile(counts *[lagBuckets]int64, total int64, q float64, most time.Duration) time.Duration {
	want, seen := int64(math.Ceil(q*float64(total))), int64(0)
	for i, n := range counts {
		seen += n
		if n > 0 && seen >= want {
			return min(most, time.Duration(float64(100*time.Microsecond)*math.Pow(lagGrowth, float64(i))))
		}
	}
	return 0
}
