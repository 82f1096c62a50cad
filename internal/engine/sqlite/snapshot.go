package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/backstaydb/backstay/internal/directio"
)

// snapshot is the database as it stood at one head, read from under a pin: each page's newest frame of the WAL, else the
// database file. It sums the pages up as they are read.
type snapshot struct {
	db    io.ReaderAt
	wal   *os.File
	head  head
	index frames

	mu   sync.Mutex
	sum  uint64
	seen bitmap // the pages that are in sum
}

func newSnapshot(db io.ReaderAt, wal *os.File, h head, index frames) *snapshot {
	return &snapshot{db: db, wal: wal, head: h, index: index, seen: bitmap{}}
}

// Size is the size of the database file.
func (s *snapshot) Size() int64 { return int64(s.head.pages) * int64(s.head.pageSize) }

// ReadAt reads the database file as it stood. Several goroutines may read.
func (s *snapshot) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.Size() {
		return 0, io.EOF
	}
	var end error
	if rest := s.Size() - off; int64(len(p)) > rest {
		p, end = p[:rest], io.EOF
	}
	n, err := s.db.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	clear(p[n:])
	if err := s.overlay(p, off); err != nil {
		return 0, err
	}
	s.add(p, off)
	return len(p), end
}

// overlay puts the pages that stand in the WAL over p, the bytes of the database file at off.
func (s *snapshot) overlay(p []byte, off int64) error {
	if len(s.index) == 0 {
		return nil
	}
	size := int64(s.head.pageSize)
	var page []byte
	for at := off / size * size; at < off+int64(len(p)); at += size {
		v, ok := s.index[uint32(at/size)+1]
		if !ok || v.frame == 0 {
			continue
		}
		if page == nil {
			page = make([]byte, size)
		}
		if ok, err := s.frame(v.frame, page); err != nil {
			return err
		} else if !ok {
			continue
		}
		from, to := max(at, off), min(at+size, off+int64(len(p)))
		copy(p[from-off:to-off], page[from-at:])
	}
	return nil
}

// frame reads a page from the WAL. It returns false when the WAL has begun again meanwhile. Under a pin that happens
// only after all of the old generation was copied into the database file, which then stays as it is: the file is right.
func (s *snapshot) frame(n uint32, page []byte) (bool, error) {
	if _, err := s.wal.ReadAt(page, frameOffset(n, s.head.pageSize)+frameHeaderSize); err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read WAL: %w", err)
	}
	var b [walHeaderSize]byte
	if _, err := s.wal.ReadAt(b[:], 0); errors.Is(err, io.EOF) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read WAL: %w", err)
	}
	h, err := parseWALHeader(b[:])
	return err == nil && h.salt == s.head.salt, nil
}

// add sums up the whole pages in p that were not yet.
func (s *snapshot) add(p []byte, off int64) {
	size := int64(s.head.pageSize)
	lock := lockPage(s.head.pageSize)
	var sum uint64
	for at := (off + size - 1) / size * size; at+size <= off+int64(len(p)); at += size {
		if n := uint32(at/size) + 1; n != lock && s.first(n) {
			sum ^= pageSum(n, p[at-off:at-off+size])
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum ^= sum
}

// first reports whether page n is met for the first time.
func (s *snapshot) first(n uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.add(n)
}

// page reads one page.
func (s *snapshot) page(n uint32, into []byte) error {
	_, err := s.ReadAt(into, int64(n-1)*int64(s.head.pageSize))
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// lookup reads one page whatever the size of the database, and leaves it out of the sum.
func (s *snapshot) lookup(n uint32, into []byte) error {
	off := int64(n-1) * int64(s.head.pageSize)
	if err := readPage(s.db, n, into); err != nil {
		return err
	}
	return s.overlay(into, off)
}

// finish reads what nobody has read and returns the sum of the whole database. It must not run beside ReadAt.
func (s *snapshot) finish(ctx context.Context) (uint64, error) {
	block := directio.Block(int(max(scanBlock, s.head.pageSize)))
	per := uint32(len(block)) / max(1, s.head.pageSize)
	for n := uint32(1); n <= s.head.pages; n += per {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if s.all(n, min(n+per-1, s.head.pages)) {
			continue
		}
		if _, err := s.ReadAt(block, int64(n-1)*int64(s.head.pageSize)); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	return s.sum, nil
}

// all reports whether the pages first..last were all met.
func (s *snapshot) all(first, last uint32) bool {
	for n := first; n <= last; n++ {
		if !s.seen.has(n) && n != lockPage(s.head.pageSize) {
			return false
		}
	}
	return true
}
