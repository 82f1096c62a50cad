package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/bits"
	"os"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

// tip is a small segment that stands in a repository until a full one covers it.
type tip struct {
	span
	name string
	full bool // it ends where a full segment does
}

// room is how many bytes are left, behind the tips, until a full segment of the given size ends. A tip that ends there
// too need not be made again in two halves when the segment comes.
func room(tips []tip, segment int64) int64 {
	sum := int64(0)
	for _, t := range tips {
		if t.held {
			sum = 0
		}
		if sum += t.bytes; t.full {
			sum = 0
		}
	}
	return segment - sum%segment
}

// fanOut is how many tips of one level stand side by side before they become one of the next level.
const fanOut = 16

// level says how large a tip is: 0 up to 4 KiB, and one more for each factor of fanOut.
func level(bytes int64) int {
	return (max(bits.Len64(uint64(max(bytes, 1)-1)), 12) - 12 + 3) / 4
}

// mergeFrom says which of the tips a new one of n bytes takes in: those from the index it returns on. Of each level at
// most fanOut stand after the last larger one, and each byte is rewritten about once a level. A tip after a hole in
// time, or after the end of a full segment, is not joined to those before it.
func mergeFrom(tips []tip, n int64) int {
	from := len(tips)
	for {
		run, size, l := from, n, level(n)
		for run > 0 && level(tips[run-1].bytes) <= l && !tips[run-1].full && (run == len(tips) || !tips[run].held) {
			run--
			size += tips[run].bytes
		}
		if from-run < fanOut-1 {
			return from
		}
		from, n = run, size
	}
}

// splitTips puts, for a tip that reaches beyond seg, another one that begins where seg ends: the log must join there,
// and no single segment would ever cover the first.
func (s *shipper) splitTips(ctx context.Context, seg history.Segment) error {
	for i, t := range s.tips {
		if !t.from.Before(seg.To) || !seg.To.Before(t.to) {
			continue
		}
		rest := spanAt(history.Moment{Position: seg.To, Time: seg.Until})
		if err := rest.extendTo(s.a.sp, t.to, 0); err != nil {
			return err
		}
		name, err := s.putTip(ctx, rest, nil)
		if err != nil {
			return err
		}
		s.stale = append(s.stale, t.name)
		s.tips[i] = tip{rest.forget(), name, t.full}
	}
	return nil
}

// shipTip ships what no segment has yet, when it is due, and else says that nothing happened.
func (s *shipper) shipTip(ctx context.Context) (time.Duration, error) {
	interval, beat := s.intervals()
	now := time.Now()
	if s.next.bytes == 0 {
		return s.heartbeat(ctx, beat, now)
	}
	if wait := interval - now.Sub(s.lastTip); wait > 0 && !s.a.isDraining() {
		return wait, nil
	}
	fresh, left := s.next, room(s.tips, s.a.c.SegmentBytes)
	from := len(s.tips)
	if !fresh.held {
		from = mergeFrom(s.tips, fresh.bytes)
	}
	whole, replaces := fresh, slices.Clone(s.stale)
	if from < len(s.tips) {
		whole = s.tips[from].span
		for i, t := range s.tips[from:] {
			replaces = append(replaces, t.name)
			if i > 0 {
				whole.join(t.span)
			}
		}
		whole.join(fresh)
	}
	s.lastTip = now
	name, err := s.putTip(ctx, whole, replaces)
	if err != nil {
		return 0, err
	}
	s.stale, s.wrote = nil, true
	full := fresh.bytes >= left
	s.tips = append(s.tips[:from], tip{whole.forget(), name, full})
	s.next = whole.after()
	s.next.hole, s.next.brk = fresh.hole, fresh.brk
	s.lastBeat = now
	s.sampleSpan(fresh)
	s.update(func(v *view) {
		v.durable, v.tips = whole.moment(), len(s.tips)
		v.whole = laterMoment(v.whole, v.durable)
	})
	if fresh.hole {
		s.next.hole = false // it now begins there
		return 0, nil
	}
	if full {
		s.lastTip = now.Add(-interval) // what follows is as late already
		return 0, nil
	}
	return interval, nil
}

// inMemory is up to how many raw bytes a span is sealed in memory.
const inMemory = 1 << 20

// seal seals a span for this repository alone.
func (s *shipper) seal(ctx context.Context, sp span) (sealed pack.Sealed, open func() (io.ReadCloser, error), remove func(), err error) {
	r := &reading{sp: s.a.sp, s: sp}
	spec := pack.SegmentSpec{Segment: sp.segment(), Entries: r.packed(), Marks: r.marks()}
	var buf bytes.Buffer
	var w io.Writer = &buf
	open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	remove = func() {}
	if sp.bytes > inMemory {
		f, err := os.CreateTemp(s.a.shelf.dir, "tip-*")
		if err != nil {
			return sealed, nil, nil, err
		}
		w, remove = f, func() { f.Close(); os.Remove(f.Name()) }
		open = func() (io.ReadCloser, error) { return os.Open(f.Name()) }
	}
	sealed, err = pack.SealSegment(ctx, w, s.repo.Sealer(), spec)
	if err = errors.Join(err, r.err); err != nil {
		remove()
		return sealed, nil, nil, err
	}
	return sealed, open, remove, nil
}

// putTip seals a tip and puts it in the place of others.
func (s *shipper) putTip(ctx context.Context, sp span, replaces []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tipDeadline+time.Duration(sp.bytes/slowest)*time.Second)
	defer cancel()
	sealed, open, remove, err := s.seal(ctx, sp)
	if err != nil {
		return "", err
	}
	defer remove()
	receipt, err := s.repo.PutTip(ctx, sealed, open, replaces, sp.moment())
	return receipt.Object, err
}
