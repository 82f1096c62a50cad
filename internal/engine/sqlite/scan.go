package sqlite

import (
	"context"
	"errors"
	"io"

	"github.com/backstaydb/backstay/internal/directio"
)

// scanBlock is how much of a database is read at once.
const scanBlock = 1 << 20

// scanner reads a database in large blocks.
type scanner struct {
	db       io.ReaderAt
	pageSize uint32
	pages    uint32
	buffer   []byte
}

func newScanner(db io.ReaderAt, pageSize, pages uint32) *scanner {
	return &scanner{db: db, pageSize: pageSize, pages: pages, buffer: directio.Block(int(min(max(1, scanBlock/pageSize), pages) * pageSize))}
}

// scan visits the pages 1..pages of db in order, but for the lock page. Beyond the end of db there are zeros. The page is
// valid during the visit.
func scan(ctx context.Context, db io.ReaderAt, pageSize, pages uint32, visit func(n uint32, page []byte) error) error {
	if pages == 0 {
		return nil
	}
	s := newScanner(db, pageSize, pages)
	for first := uint32(1); first <= pages; first += uint32(len(s.buffer)) / pageSize {
		if err := s.block(ctx, first, visit); err != nil {
			return err
		}
	}
	return nil
}

// block visits the pages of the block that begins with page first.
func (s *scanner) block(ctx context.Context, first uint32, visit func(n uint32, page []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.buffer[:min(len(s.buffer), int(s.pages-first+1)*int(s.pageSize))]
	n, err := s.db.ReadAt(b, int64(first-1)*int64(s.pageSize))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	clear(b[n:])
	lock := lockPage(s.pageSize)
	for p := first; len(b) > 0; p++ {
		if p != lock {
			if err := visit(p, b[:s.pageSize]); err != nil {
				return err
			}
		}
		b = b[s.pageSize:]
	}
	return nil
}
