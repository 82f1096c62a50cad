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

// resume makes the source stand at the bookmark and b begin there: at the time of the bookmark if nothing was committed since.
// Missed commits that the source still has are captured by the rounds that follow, or here as one. When they were made nobody
// knows: they are stamped later than now, and no moment between the bookmark and now can be promised.
func (s *Source) resume(ctx context.Context, from engine.Bookmark, b *batch) error {
	if s.standsAt(from) {
		b.since = s.head.until
		return nil
	}
	s.unpin()
	if err := s.reattach(ctx); err != nil {
		return err
	}
	h, err := headOf(from)
	if err != nil {
		return err
	}
	file, err := readHeader(s.files.db)
	if err != nil {
		return err
	}
	if h.pages > 0 && file.pageSize != 0 && file.pageSize != h.pageSize {
		return s.gap(h.position, "the page size changed from %d to %d", h.pageSize, file.pageSize)
	}
	whole := h.until
	if !file.wal {
		b.since = whole // the first look finds out whether that holds
		return s.resumeRollback(ctx, h)
	}
	h.until = laterOf(s.now(), whole)
	b.since = h.until
	missed, err := s.resumeWAL(ctx, h, b)
	if err == nil && !missed {
		s.head.until, b.since = whole, whole
	}
	return err
}

// standsAt reports whether TakeBase left the source just there, with nothing let go.
func (s *Source) standsAt(from engine.Bookmark) bool {
	return !s.head.position.IsZero() && (s.pin != nil || !s.head.wal) && s.head.position.Equal(from.Position) &&
		bytes.Equal(s.head.token(), from.Token) && s.inPlace() == nil
}

// resumeWAL goes on in a WAL, and reports whether commits were missed.
func (s *Source) resumeWAL(ctx context.Context, h head, b *batch) (missed bool, err error) {
	pin, err := read(ctx, s.readers)
	if err != nil {
		return false, explain(s.path, err)
	}
	s.pin = pin
	if err := s.observe(); err != nil {
		return false, err
	}
	err = s.underPin(func(x walIndex) error {
		b.drop(h)
		missed, err = s.resumeAt(ctx, h, x, b)
		return err
	})
	return missed, err
}

// resumeAt is resumeWAL where the WAL ends at x.
func (s *Source) resumeAt(ctx context.Context, h head, x walIndex, b *batch) (missed bool, err error) {
	if !h.wal || x.salt != h.salt {
		err := s.resumeScan(ctx, h, x)
		return s.head.frame != x.frames, err
	}
	if x.frames < h.frame {
		return false, s.gap(h.position, "the WAL ends before it: the source was put back to an earlier state, as a crash of the machine can do")
	}
	index, err := indexFrames(s.files.wal, x, h.frame, h.chain)
	if errors.Is(err, errFrame) {
		return false, s.gap(h.position, "the WAL holds something else at that place: %v", err)
	}
	if err != nil {
		return false, err
	}
	s.head, s.index, s.old = h, index, nil
	if x.frames == h.frame {
		return false, nil
	}
	if !mayReset(x) {
		if ok, err := s.preload(x); ok || err != nil {
			return true, err
		}
	}
	w, err := s.weigh(ctx, x)
	if err != nil {
		return true, err
	}
	if w.before == h.sum && !mayReset(x) {
		s.old = w.old
		return true, nil
	}
	return true, s.bridge(w, x, b)
}

// mayReset reports whether a pin that began before x was read may let the WAL begin anew: it does if all of the WAL was in the
// database file by then, as it reads that file alone (mark 0 in SQLite's wal.c). Missed commits must not be left in such a WAL for
// the next round, even where their pages show no trace of them.
func mayReset(x walIndex) bool { return x.backfill >= x.frames }

// preload reads the sums that pages touched by missed commits had before. That works as long as no checkpoint has
// copied those commits over them into the database file.
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
	if len(old) == 0 {
		return true, nil // the WAL itself holds their old content
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

// weighed are the checksums of a database whose WAL has gone on.
type weighed struct {
	at     head              // where the WAL ends now; its sum is that of the whole database
	index  frames            // up to there
	before uint64            // the database without the frames after s.head, if no checkpoint has copied any of them
	old    map[uint32]uint64 // pages in those frames, without them
}

// weigh reads the whole database and sums it up with and without the frames after s.head.
func (s *Source) weigh(ctx context.Context, x walIndex) (weighed, error) {
	s.count(func(n *Counters) { n.Scans++ })
	at, err := s.headAt(x)
	if err != nil {
		return weighed{}, err
	}
	w := weighed{at: at, old: map[uint32]uint64{}}
	if w.index, err = indexFrames(s.files.wal, x, x.frames, x.sum); err != nil {
		return weighed{}, err
	}
	now := newSnapshot(s.files, s.files.wal, at, w.index)
	then := newSnapshot(s.files, s.files.wal, at, s.index)
	page := make([]byte, at.pageSize)
	err = scan(ctx, s.files, at.pageSize, max(at.pages, s.head.pages), func(n uint32, b []byte) error {
		sum := pageSum(n, b)
		before, after := sum, sum
		if _, ok := s.index[n]; ok {
			if err := then.lookup(n, page); err != nil {
				return err
			}
			before = pageSum(n, page)
		}
		if _, ok := w.index[n]; ok {
			w.old[n] = before
			if err := now.lookup(n, page); err != nil {
				return err
			}
			after = pageSum(n, page)
		}
		if n <= s.head.pages {
			w.before ^= before
		}
		if n <= at.pages {
			w.at.sum ^= after
		}
		return nil
	})
	return w, err
}

// bridge captures all missed commits as one, because parts of them are in the database file already, so that the sums in
// between cannot be known any more. The sum after them was read from the whole database.
func (s *Source) bridge(w weighed, x walIndex, b *batch) error {
	s.count(func(n *Counters) { n.Bridges++ })
	touched, _, err := touchedPages(s.files.wal, x, s.head)
	if err != nil {
		return err
	}
	at := w.at
	at.position, at.until = history.At(s.head.position.Timeline, s.head.position.Seq+1), laterOf(s.now(), s.head.until.Add(time.Microsecond))
	snap := newSnapshot(s.files, s.files.wal, at, w.index)
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
	s.head, s.index, s.old = at, w.index, nil
	return b.flush()
}

// resumeScan goes on where the WAL of the bookmark is gone, if the whole database shows that nothing was missed: either
// the database file, without the WAL, or the database with it has the checksum of the bookmark.
func (s *Source) resumeScan(ctx context.Context, h head, x walIndex) error {
	h.wal, h.salt, h.frame, h.chain = true, x.salt, 0, walSum{}
	s.head, s.index, s.old = h, frames{}, nil
	w, err := s.weigh(ctx, x)
	if err != nil {
		return err
	}
	s.head.pageSize = w.at.pageSize
	switch {
	case w.at.sum == h.sum && w.at.pages == h.pages:
		s.head.frame, s.head.chain, s.index = x.frames, x.sum, w.index
	case w.before == h.sum:
		s.old = w.old
	default:
		return s.gap(h.position, "commits were made and the WAL was reset while nobody was watching")
	}
	return nil
}
