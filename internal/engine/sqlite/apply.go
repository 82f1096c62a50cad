package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/superfly/ltx"
)

// segment applies what is to be applied of the open segment, number i, newest file first.
func (p *replay) segment(ctx context.Context, db *os.File, i int) error {
	files, err := choose(p.open.Entries(), p.position.Seq)
	if err != nil {
		return err
	}
	if files, err = p.line.join(files, i); err != nil {
		return err
	}
	p.meter.begin(p.segments[i], files)
	for _, f := range slices.Backward(files) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.applyFile(ctx, db, f); err != nil {
			return fmt.Errorf("log file %s: %w", f.name(), err)
		}
		p.meter.add(f.size())
	}
	p.meter.end()
	return nil
}

// finish gives the database its size, syncs it, and compares its checksum with the one that the log recorded.
func (p *replay) finish(ctx context.Context, db *os.File) (err error) {
	applied := p.pageSize != 0
	if applied {
		if err := db.Truncate(int64(p.pages) * int64(p.pageSize)); err != nil {
			return err
		}
		if err := db.Sync(); err != nil {
			return err
		}
	}
	if p.digest, err = fileSum(ctx, db); err != nil {
		return err
	}
	if applied && p.digest != p.sum {
		return fmt.Errorf("the database at %s has the checksum %s, the log recorded %s", p.position, checksum(p.digest), checksum(p.sum))
	}
	return nil
}

// applyFile writes those pages of one file that no newer file gave. Of a condensed one only these are read, where the log
// can give any piece of it: most of its pages are in newer ones too.
func (p *replay) applyFile(ctx context.Context, db *os.File, f logFile) error {
	r := &parts{ctx: ctx, log: p.log, segment: p.open, file: f}
	defer r.Close()
	if f.entries[0].Condensed {
		if at, err := r.readerAt(); at != nil || err != nil {
			if err != nil {
				return err
			}
			return p.applySparse(db, f, at, f.size())
		}
	}
	dec := p.decoder
	if err := dec.open(r); err != nil {
		return err
	}
	if err := p.begin(f, dec.header); err != nil {
		return err
	}
	for {
		n, page, err := dec.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if n > p.pages || p.written.has(n) {
			continue
		}
		if err := p.write(db, n, page); err != nil {
			return err
		}
	}
	return p.link(dec.header.PreApplyChecksum, dec.post)
}

// begin checks that a file is the one that its name says, and of the database.
func (p *replay) begin(f logFile, h ltx.Header) error {
	if uint64(h.MinTXID) != f.from || uint64(h.MaxTXID) != f.to {
		return fmt.Errorf("its header says %s to %s", h.MinTXID, h.MaxTXID)
	}
	if p.pageSize == 0 {
		p.pageSize, p.pages = h.PageSize, h.Commit
	}
	if h.PageSize != p.pageSize {
		return fmt.Errorf("page size %d is not %d", h.PageSize, p.pageSize)
	}
	return nil
}

// write writes a page that no newer file gave.
func (p *replay) write(db *os.File, n uint32, page []byte) error {
	p.written.add(n)
	_, err := db.WriteAt(page, int64(n-1)*int64(p.pageSize))
	return err
}

// link checks that a file ends with the checksum that the file after it begins with.
func (p *replay) link(pre, post ltx.Checksum) error {
	if p.before == 0 {
		p.sum = sumOf(post)
	} else if post != p.before {
		return fmt.Errorf("it ends with checksum %s, the file after it begins with %s", post, p.before)
	}
	p.before = pre
	return nil
}

// fileSum reads a database file and returns the sum of its pages.
func fileSum(ctx context.Context, db io.ReaderAt) (uint64, error) {
	h, err := readHeader(db)
	if err != nil || h.pageSize == 0 {
		return 0, err
	}
	block := make([]byte, max(1<<20, h.pageSize))
	lock := lockPage(h.pageSize)
	sum, page := uint64(0), uint32(1)
	for off := int64(0); ; off += int64(len(block)) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := db.ReadAt(block, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for b := block[:n]; len(b) > 0; page++ {
			if uint32(len(b)) < h.pageSize {
				return 0, fmt.Errorf("page %d is not whole", page)
			}
			if page != lock {
				sum ^= pageSum(page, b[:h.pageSize])
			}
			b = b[h.pageSize:]
		}
		if err != nil {
			return sum, nil
		}
	}
}
