package sqlite

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// probeRollback checks that a database in rollback-journal mode, or an empty file, can be read.
func (s *Source) probeRollback(ctx context.Context) error {
	r, err := s.share(ctx, 5*time.Second)
	if err != nil {
		return explain(s.path, err)
	}
	r.release()
	return nil
}

// resumeRollback goes on in rollback-journal mode: the file must be what the bookmark says, or the table that was kept
// must be that of the bookmark, so that the next look finds what was missed.
func (s *Source) resumeRollback(ctx context.Context, h head) error {
	h.wal = false
	if t := s.keptTable(h); t != nil {
		s.head, s.table, s.looked = h, t, imprint{}
		return nil
	}
	lock, err := s.share(ctx, 10*time.Second)
	if err != nil {
		return explain(s.path, err)
	}
	defer lock.release()
	p, file, err := s.imprint()
	if err != nil {
		return s.unreadable(err)
	}
	t, err := tableOf(ctx, s.files.db, file.pageSize, filePages(p, file))
	if err != nil {
		return err
	}
	s.count(func(n *Counters) { n.Scans++ })
	if t.sum() != h.sum || uint32(len(t)) != h.pages {
		return s.gap(h.position, "commits were made while nobody was watching")
	}
	s.head, s.table, s.looked = h, t, p
	return nil
}

// enterWAL follows a database whose application turned WAL mode on. What changed since the last look is one commit.
func (s *Source) enterWAL(ctx context.Context, b *batch) error {
	pin, err := read(ctx, s.readers)
	if err != nil {
		return explain(s.path, err)
	}
	at, index, err := s.standing()
	if err != nil {
		pin.release()
		return err
	}
	next := at
	next.position = history.At(s.head.position.Timeline, s.head.position.Seq+1)
	next.until = laterOf(s.now(), s.head.until.Add(time.Microsecond))
	snap := newSnapshot(s.files.db, s.files.wal, at, index)
	t, err := tableOf(ctx, snap, at.pageSize, at.pages)
	if err == nil {
		next.sum = t.sum()
		tx := &transaction{txid: next.position.Seq, pageSize: at.pageSize, before: s.head.pages, commit: at.pages, time: next.until,
			pages: s.table.changes(t), after: &next.sum, read: snap.page, newSum: func(uint32, uint64) {}}
		b.last = s.head
		b.begin(next.position.Seq)
		_, err = tx.encode(b, s.head.sum)
	}
	if err == nil {
		err = b.end(next, history.Mark{Position: next.position, Time: next.until})
	}
	if err == nil {
		err = b.flush()
	}
	if err != nil {
		pin.release()
		return err
	}
	s.count(func(n *Counters) { n.Compares++; n.Commits++ })
	s.pin, s.head, s.index, s.table = pin, next, index, nil
	return nil
}

// baseRollback copies the database into a scratch file: once without the lock, then, under the lock, only the pages that
// changed meanwhile, so that writers wait for one comparison and not for the repository. While Follow runs, the
// changes are shipped at the same time, so that the base stands at a position of the log.
func (s *Source) baseRollback(ctx context.Context, o engine.BaseOptions, sink engine.BaseSink) (engine.BaseResult, error) {
	start := s.options.Now().UTC()
	tmp, err := scratchFile(s.options.StateDir)
	if err != nil {
		s.leave()
		return engine.BaseResult{}, err
	}
	defer removeScratch(tmp)
	h, err := s.copyRollback(ctx, o, tmp)
	db := s.files.db
	s.leave()
	if err != nil {
		return engine.BaseResult{}, err
	}
	info, err := db.Stat()
	if err != nil {
		return engine.BaseResult{}, err
	}
	size := int64(h.pages) * int64(h.pageSize)
	f := engine.File{Name: s.name, Mode: info.Mode(), Size: size, ModTime: info.ModTime()}
	if err := sink.Put(ctx, f, io.NewSectionReader(tmp, 0, size)); err != nil {
		return engine.BaseResult{}, err
	}
	return engine.BaseResult{Bookmark: h.bookmark(), Base: history.Base{Type: history.Full, Start: h.position, Stop: h.position,
		StartTime: start, StopTime: h.until, Bytes: size}}, ctx.Err()
}

// copyRollback fills tmp and returns where it stands.
func (s *Source) copyRollback(ctx context.Context, o engine.BaseOptions, tmp *os.File) (head, error) {
	p, h, err := s.imprint()
	if err != nil {
		return head{}, s.unreadable(err)
	}
	var copied table
	if p.size >= lockFree {
		copied = make(table, filePages(p, h))
		if err := scan(ctx, s.files.db, h.pageSize, uint32(len(copied)), func(n uint32, page []byte) error {
			copied[n-1] = pageSum(n, page)
			_, err := tmp.WriteAt(page, int64(n-1)*int64(len(page)))
			return err
		}); err != nil {
			return head{}, err
		}
	}
	patch := func(t table, pageSize uint32) error {
		page := make([]byte, pageSize)
		for _, n := range copied.changes(t) {
			if n == lockPage(pageSize) {
				continue
			}
			if err := readPage(s.files.db, n, page); err != nil {
				return err
			}
			if _, err := tmp.WriteAt(page, int64(n-1)*int64(pageSize)); err != nil {
				return err
			}
		}
		copied = t
		return tmp.Truncate(int64(len(t)) * int64(pageSize))
	}
	if s.follow {
		return s.copyFollowed(ctx, patch, func() bool { return copied.sum() == s.head.sum && uint32(len(copied)) == s.head.pages })
	}
	s.unpin()
	return s.copyAlone(ctx, nextPosition(o), patch)
}

// copyFollowed looks until the copy stands where the log stands.
func (s *Source) copyFollowed(ctx context.Context, patch func(table, uint32) error, same func() bool) (head, error) {
	for range 100 {
		if err := s.look(ctx, s.batch, patch); err != nil {
			return head{}, err
		}
		if same() {
			return s.head, nil
		}
	}
	return head{}, explain(s.path, errors.New("no moment without a writer was found"))
}

// copyAlone patches under the lock and calls what it has p.
func (s *Source) copyAlone(ctx context.Context, at history.Position, patch func(table, uint32) error) (head, error) {
	lock, err := s.share(ctx, 10*time.Second)
	if err != nil {
		return head{}, explain(s.path, err)
	}
	defer lock.release()
	began := time.Now()
	now, file, err := s.imprint()
	if err != nil {
		return head{}, s.unreadable(err)
	}
	t, err := tableOf(ctx, s.files.db, file.pageSize, filePages(now, file))
	if err == nil {
		err = patch(t, file.pageSize)
	}
	if err != nil {
		return head{}, err
	}
	h := head{position: at, until: s.now(), pageSize: file.pageSize, pages: uint32(len(t)), sum: t.sum(), change: file.change}
	s.head, s.table, s.looked = h, t, now
	s.heldUp(time.Since(began))
	s.keepTable(tableSmall)
	return h, nil
}
