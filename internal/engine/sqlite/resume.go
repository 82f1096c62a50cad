package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// resume makes the source stand at the bookmark and returns from when on nothing has escaped us. Missed commits that the
// source still has are captured by the rounds that follow, or here as one.
func (s *Source) resume(ctx context.Context, from engine.Bookmark, b *batch) (time.Time, error) {
	if s.standsAt(from) {
		return s.head.until, nil
	}
	s.unpin()
	if err := s.reattach(ctx); err != nil {
		return time.Time{}, err
	}
	h, err := headOf(from)
	if err != nil {
		return time.Time{}, err
	}
	file, err := readHeader(s.files.db)
	if err != nil {
		return time.Time{}, err
	}
	if h.pages > 0 && file.pageSize != 0 && file.pageSize != h.pageSize {
		return time.Time{}, s.gap(h.position, "the page size changed from %d to %d", h.pageSize, file.pageSize)
	}
	since := laterOf(s.now(), h.until)
	h.until, b.since, b.last = since, since, h
	if file.wal {
		return since, s.resumeWAL(ctx, h, b)
	}
	return since, s.resumeRollback(ctx, h)
}

// standsAt reports whether TakeBase left the source just there, with nothing let go.
func (s *Source) standsAt(from engine.Bookmark) bool {
	return !s.head.position.IsZero() && (s.pin != nil || !s.head.wal) && s.head.position.Equal(from.Position) &&
		bytes.Equal(s.head.token(), from.Token) && s.inPlace() == nil
}

// resumeWAL goes on in a WAL.
func (s *Source) resumeWAL(ctx context.Context, h head, b *batch) error {
	pin, err := read(ctx, s.readers)
	if err != nil {
		return explain(s.path, err)
	}
	s.pin = pin
	if err := s.observe(); err != nil {
		return err
	}
	x, err := readWALIndex(s.files.shm)
	if err != nil {
		return err
	}
	if !h.wal || x.salt != h.salt {
		return s.resumeScan(ctx, h, x)
	}
	if x.frames < h.frame {
		return s.gap(h.position, "the WAL ends before it: the source was put back to an earlier state, as a crash of the machine can do")
	}
	index, err := indexFrames(s.files.wal, x, h.frame, h.chain)
	if errors.Is(err, errFrame) {
		return s.gap(h.position, "the WAL holds something else at that place: %v", err)
	}
	if err != nil {
		return err
	}
	s.head, s.index, s.old = h, index, nil
	ok, err := s.preload(x)
	if ok || err != nil {
		return err
	}
	return s.bridge(ctx, x, b)
}

// preload reads the sums that pages touched by missed commits had before. That works as long as no checkpoint has
// copied those commits into the database file.
func (s *Source) preload(x walIndex) (bool, error) {
	touched, smallest, err := touchedPages(s.files.wal, x, s.head)
	if err != nil || len(touched) == 0 {
		return err == nil, err
	}
	for p := smallest + 1; p <= s.head.pages; p++ {
		touched[p] = 0
	}
	old := map[uint32]uint64{}
	page := make([]byte, s.head.pageSize)
	for p := range touched {
		if _, ok := s.index[p]; ok || p > s.head.pages {
			continue
		}
		if err := readPage(s.files.db, p, page); err != nil {
			return false, err
		}
		old[p] = pageSum(p, page)
	}
	now, err := readWALIndex(s.files.shm)
	if err != nil {
		return false, err
	}
	attempted, err := readAttempted(s.files.shm)
	if err != nil || now.salt != x.salt || max(now.backfill, attempted) > s.head.frame {
		return false, err
	}
	s.old = old
	return true, nil
}

// touchedPages lists the pages in the frames after h with their newest frame, and the smallest size of the database
// among those commits.
func touchedPages(wal *os.File, x walIndex, h head) (map[uint32]uint32, uint32, error) {
	touched, smallest := map[uint32]uint32{}, h.pages
	if x.frames == h.frame {
		return touched, smallest, nil
	}
	wh, err := (&capture{wal: wal}).header(x)
	if err != nil {
		return nil, 0, err
	}
	chain := h.chain
	if h.frame == 0 {
		chain = wh.sum
	}
	_, err = walk(wal, wh, chain, h.frame+1, x.frames, func(n uint32, f frameHeader, _ walSum) error {
		touched[f.page] = n
		if f.commit != 0 {
			smallest = min(smallest, f.commit)
		}
		return nil
	})
	return touched, smallest, err
}

// bridge captures all missed commits as one, because parts of them are in the database file already, so that the sums in
// between cannot be known any more. The sum after them is read from the whole database.
func (s *Source) bridge(ctx context.Context, x walIndex, b *batch) error {
	touched, _, err := touchedPages(s.files.wal, x, s.head)
	if err != nil {
		return err
	}
	at, err := s.headAt(x)
	if err != nil {
		return err
	}
	index, err := indexFrames(s.files.wal, x, x.frames, x.sum)
	if err != nil {
		return err
	}
	at.position, at.until = history.At(s.head.position.Timeline, s.head.position.Seq+1), laterOf(s.now(), s.head.until.Add(time.Microsecond))
	snap := newSnapshot(s.files.direct, s.files.wal, at, index)
	if at.sum, err = snap.finish(ctx); err != nil {
		return err
	}
	s.count(func(n *Counters) { n.Scans++; n.Bridges++ })
	t := &transaction{txid: at.position.Seq, pageSize: at.pageSize, before: s.head.pages, commit: at.pages, time: at.until, after: &at.sum,
		read: snap.page, newSum: func(uint32, uint64) {}}
	for p := range touched {
		t.pages = append(t.pages, p)
	}
	b.last = s.head
	b.begin(t.txid)
	if _, err := t.encode(b, s.head.sum); err != nil {
		return fmt.Errorf("capture missed commits: %w", err)
	}
	if err := b.end(at, history.Mark{Position: at.position, Time: at.until}); err != nil {
		return err
	}
	s.head, s.index, s.old = at, index, nil
	return b.flush()
}

// resumeScan goes on where the WAL of the bookmark is gone, if the whole database shows that nothing was missed: either
// the database file, without the WAL, or the database with it has the checksum of the bookmark.
func (s *Source) resumeScan(ctx context.Context, h head, x walIndex) error {
	at, err := s.headAt(x)
	if err != nil {
		return err
	}
	index, err := indexFrames(s.files.wal, x, x.frames, x.sum)
	if err != nil {
		return err
	}
	s.count(func(n *Counters) { n.Scans++ })
	old := map[uint32]uint64{}
	file, whole := uint64(0), uint64(0)
	snap := newSnapshot(s.files.direct, s.files.wal, at, index)
	page := make([]byte, at.pageSize)
	err = scan(ctx, s.files.direct, at.pageSize, max(at.pages, h.pages), func(n uint32, b []byte) error {
		sum := pageSum(n, b)
		if n <= h.pages {
			file ^= sum
		}
		if _, ok := index[n]; ok {
			old[n] = sum
			if err := snap.page(n, page); err != nil {
				return err
			}
			sum = pageSum(n, page)
		}
		if n <= at.pages {
			whole ^= sum
		}
		return nil
	})
	if err != nil {
		return err
	}
	h.wal, h.salt, h.pageSize = true, x.salt, at.pageSize
	switch {
	case whole == h.sum && at.pages == h.pages:
		h.frame, h.chain = x.frames, x.sum
		s.head, s.index, s.old = h, index, nil
	case file == h.sum:
		h.frame, h.chain = 0, walSum{}
		s.head, s.index, s.old = h, frames{}, old
	default:
		return s.gap(h.position, "commits were made and the WAL was reset while nobody was watching")
	}
	return nil
}
