package sqlite

import (
	"context"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// table holds the sum of each page; page n is at n-1. At 8 bytes a page it takes 2 MB for 1 GB in pages of 4096 bytes.
type table []uint64

// tableWorkers is how many goroutines sum up a database at most: writers may be waiting for them.
const tableWorkers = 4

// tableOf sums up a database page by page. db must be able to be read by several goroutines.
func tableOf(ctx context.Context, db io.ReaderAt, pageSize, pages uint32) (table, error) {
	t := make(table, pages)
	if pages == 0 {
		return t, nil
	}
	per := max(1, scanBlock/pageSize)
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(tableWorkers, runtime.GOMAXPROCS(0), int((pages-1)/per)+1) {
		g.Go(func() error {
			s := newScanner(db, pageSize, pages)
			for {
				first := (next.Add(1)-1)*int64(per) + 1
				if first > int64(pages) {
					return nil
				}
				if err := s.block(ctx, uint32(first), t.set); err != nil {
					return err
				}
			}
		})
	}
	return t, g.Wait()
}

func (t table) set(n uint32, page []byte) error {
	t[n-1] = pageSum(n, page)
	return nil
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
