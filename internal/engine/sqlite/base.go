package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// TakeBase copies the database as it stands at one commit. In WAL mode no writer waits for it. While Follow runs, the
// base stands at the position shipped last, and its checksum must be the one that the log has arrived at.
func (s *Source) TakeBase(ctx context.Context, o engine.BaseOptions, sink engine.BaseSink) (engine.BaseResult, error) {
	if err := s.enter(ctx); err != nil {
		return engine.BaseResult{}, err
	}
	if err := s.ready(ctx); err != nil {
		s.leave()
		return engine.BaseResult{}, fmt.Errorf("take base: %w", err)
	}
	file, err := readHeader(s.files.db)
	if err != nil {
		s.leave()
		return engine.BaseResult{}, fmt.Errorf("take base: %w", err)
	}
	take := s.baseRollback
	if s.follow && s.head.wal || !s.follow && file.wal {
		take = s.baseWAL
	}
	r, err := take(ctx, o, sink)
	if err != nil {
		return engine.BaseResult{}, fmt.Errorf("take base: %w", err)
	}
	return r, nil
}

// ready opens the file again if another one took its place since.
func (s *Source) ready(ctx context.Context) error {
	if s.follow {
		return nil
	}
	return s.reattach(ctx)
}

// baseWAL is TakeBase in WAL mode. It gives the turn back.
func (s *Source) baseWAL(ctx context.Context, o engine.BaseOptions, sink engine.BaseSink) (engine.BaseResult, error) {
	followed := s.follow
	if !followed {
		defer s.leave()
		s.unpin()
		if err := s.begin(ctx, nextPosition(o)); err != nil {
			return engine.BaseResult{}, err
		}
	}
	pin, h, index := s.pin.retain(), s.head, s.index.clone()
	defer pin.release()
	files, wal, watch := s.files, s.files.wal, s.watch
	if followed {
		s.leave()
	}
	start := s.options.Now().UTC()
	snap := newSnapshot(files, wal, h, index)
	sum, err := s.copy(ctx, snap, watch, sink)
	if err == nil && followed && sum != h.sum {
		err = fmt.Errorf("checksum %s of the copy is not %s, which the log has arrived at for %s", checksum(sum), checksum(h.sum), h.position)
	}
	if err != nil {
		if !followed {
			s.unpin()
		}
		return engine.BaseResult{}, err
	}
	h.sum = sum
	if !followed {
		s.head = h
	}
	return engine.BaseResult{Bookmark: h.bookmark(), Base: history.Base{Type: history.Full, Start: h.position, Stop: h.position,
		StartTime: start, StopTime: h.until, Bytes: snap.Size()}}, nil
}

// copy gives the snapshot to sink as one file and returns the sum of its pages. It gives up when the WAL, which is kept for
// it, has grown beyond all measure.
func (s *Source) copy(ctx context.Context, snap *snapshot, watch *observer, sink engine.BaseSink) (uint64, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go s.bound(ctx, cancel, watch, max(s.limits.held, snap.Size()))
	f := engine.File{Name: s.name, Mode: info.Mode(), Size: snap.Size(), ModTime: info.ModTime()}
	err = sink.Put(ctx, f, io.NewSectionReader(snap, 0, snap.Size()))
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if err != nil {
		return 0, err
	}
	return snap.finish(ctx)
}

// bound cancels a base during which the WAL grows by more than limit bytes. It ends with ctx.
func (s *Source) bound(ctx context.Context, cancel context.CancelCauseFunc, watch *observer, limit int64) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	first, _ := watch.after(0, 0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		x, _ := watch.after(0, 0)
		grown := int64(x.frames) * int64(frameHeaderSize+x.pageSize)
		if x.salt == first.salt {
			grown -= int64(first.frames) * int64(frameHeaderSize+x.pageSize)
		}
		if grown > limit {
			cancel(fmt.Errorf("the WAL grew by %d bytes while it was kept for the copy", grown))
			return
		}
	}
}

// nextPosition is where a base stands that does not continue a log that is being followed.
func nextPosition(o engine.BaseOptions) history.Position {
	timeline := max(o.After.Timeline, 1)
	if o.NewTimeline {
		timeline = o.After.Timeline + 1
	}
	return history.At(timeline, o.After.Seq+1)
}

// begin pins the database as it stands now and calls that p. The sum of the pages is not known yet.
func (s *Source) begin(ctx context.Context, p history.Position) error {
	now := s.now()
	pin, err := read(ctx, s.readers)
	if err != nil {
		return explain(s.path, err)
	}
	h, index, err := s.standing()
	if err == nil {
		s.stood, err = s.ground()
	}
	if err != nil {
		pin.release()
		return err
	}
	h.position, h.until = p, now
	s.pin, s.head, s.index = pin, h, index
	return nil
}

// standing reads, under a pin, where the WAL ends and what stands in it.
func (s *Source) standing() (h head, index frames, err error) {
	if err := s.observe(); err != nil {
		return head{}, nil, err
	}
	err = s.underPin(func(x walIndex) error {
		if h, err = s.headAt(x); err == nil {
			index, err = indexFrames(s.files.wal, x, x.frames, x.sum)
		}
		return err
	})
	return h, index, err
}

// underPin does read under a new pin, with what the wal-index says. If all of the WAL was in the database file when the pin began,
// a writer may begin it anew meanwhile, once; what read then came upon does not count, and it is done again.
func (s *Source) underPin(read func(walIndex) error) error {
	x, err := readWALIndex(s.files.shm)
	if err != nil {
		return err
	}
	failed := read(x)
	if failed == nil {
		return nil
	}
	again, err := readWALIndex(s.files.shm)
	if err != nil || again.salt == x.salt || errors.Is(failed, errShip) {
		return failed
	}
	return read(again)
}

// headAt is a head at x, without position, time and sum.
func (s *Source) headAt(x walIndex) (head, error) {
	h := head{wal: true, pageSize: x.pageSize, pages: x.pages, salt: x.salt, frame: x.frames, chain: x.sum}
	if x.frames > 0 && x.pages > 0 {
		return h, nil
	}
	file, err := readHeader(s.files.db)
	if err != nil {
		return head{}, err
	}
	info, err := s.files.db.Stat()
	if err != nil {
		return head{}, err
	}
	h.pageSize = file.pageSize
	if h.pages == 0 && h.pageSize > 0 {
		h.pages = uint32((info.Size() + int64(h.pageSize) - 1) / int64(h.pageSize))
	}
	return h, nil
}

// indexFrames reads the frames 1..last of x's generation and checks that they end with sum.
func indexFrames(wal *os.File, x walIndex, last uint32, sum walSum) (frames, error) {
	index := frames{}
	if last == 0 {
		return index, nil
	}
	c := capture{wal: wal}
	h, err := c.header(x)
	if err != nil {
		return nil, err
	}
	chain, err := walk(wal, h, h.sum, 1, last, func(n uint32, f frameHeader, _ walSum) error {
		index[f.page] = version{frame: n}
		return nil
	})
	if err == nil && chain != sum {
		err = fmt.Errorf("read WAL: the checksum at frame %d is another one: %w", last, errFrame)
	}
	return index, err
}

// now is the clock in the resolution of stamps.
func (s *Source) now() time.Time { return s.options.Now().UTC().Truncate(time.Microsecond) }
