package sqlite

import (
	"context"
	"errors"
	"io"

	"github.com/backstaydb/backstay/internal/directio"
)

// scanBlock is how much of a database is read at once.
const scanBlock = 1 << 20

// scan visits the pages 1..pages of db in order, but for the lock page. Beyond the end of db there are zeros. The page is
// valid during the visit.
func scan(ctx context.Context, db io.ReaderAt, pageSize, pages uint32, visit func(n uint32, page []byte) error) error {
	if pages == 0 {
		return nil
	}
	lock := lockPage(pageSize)
	per := max(1, scanBlock/pageSize)
	block := directio.Block(int(min(per, pages) * pageSize))
	for first := uint32(1); first <= pages; first += per {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := block[:min(per, pages-first+1)*pageSize]
		n, err := db.ReadAt(b, int64(first-1)*int64(pageSize))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		clear(b[n:])
		for p := first; len(b) > 0; p++ {
			if p != lock {
				if err := visit(p, b[:pageSize]); err != nil {
					return err
				}
			}
			b = b[pageSize:]
		}
	}
	return nil
}

// table holds the sum of each page; page n is at n-1. At 8 bytes a page it takes 2 MB for 1 GB in pages of 4096 bytes.
type table []uint64

// tableOf sums up a database page by page.
func tableOf(ctx context.Context, db io.ReaderAt, pageSize, pages uint32) (table, error) {
	t := make(table, pages)
	err := scan(ctx, db, pageSize, pages, func(n uint32, page []byte) error {
		t[n-1] = pageSum(n, page)
		return nil
	})
	return t, err
}

// sum is that of the whole database.
func (t table) sum() (sum uint64) {
	for _, s := range t {
		sum ^= s
	}
	return sum
}

// changes lists the pages of u that are not in t or differ there.
func (t table) changes(u table) (pages []uint32) {
	for i, s := range u {
		if i >= len(t) || t[i] != s {
			pages = append(pages, uint32(i)+1)
		}
	}
	return pages
}
