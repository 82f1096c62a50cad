package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/superfly/ltx"
)

// apply writes the pages of the chosen files, newest file first, and returns the checksum of the result.
func (p *replay) apply(ctx context.Context, db *os.File) (uint64, error) {
	after := ltx.Checksum(0) // the checksum that the file after this one begins with
	for i := len(p.files) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		f := p.files[i]
		pre, err := p.applyFile(ctx, db, f, after)
		if err != nil {
			return 0, fmt.Errorf("log file %s: %w", f.name, err)
		}
		after = pre
		p.done += f.size()
		if p.goal.Progress != nil {
			p.goal.Progress(p.done, p.total)
		}
	}
	if len(p.files) > 0 {
		if err := db.Truncate(int64(p.pages) * int64(p.pageSize)); err != nil {
			return 0, err
		}
		if err := db.Sync(); err != nil {
			return 0, err
		}
	}
	sum, err := fileSum(ctx, db)
	if err != nil {
		return 0, err
	}
	if len(p.files) > 0 && sum != p.sum {
		return 0, fmt.Errorf("the database at %s has the checksum %s, the log recorded %s", p.position, checksum(sum), checksum(p.sum))
	}
	return sum, nil
}

// applyFile writes those pages of one file that no newer file gave and returns the checksum before it.
func (p *replay) applyFile(ctx context.Context, db *os.File, f logFile, after ltx.Checksum) (ltx.Checksum, error) {
	r := &parts{ctx: ctx, file: f}
	defer r.Close()
	dec := p.decoder
	if err := dec.open(r); err != nil {
		return 0, err
	}
	h := dec.header
	if uint64(h.MinTXID) != f.from || uint64(h.MaxTXID) != f.to {
		return 0, fmt.Errorf("its header says %s to %s", h.MinTXID, h.MaxTXID)
	}
	if p.pageSize == 0 {
		p.pageSize, p.pages = h.PageSize, h.Commit
	}
	if h.PageSize != p.pageSize {
		return 0, fmt.Errorf("page size %d is not %d", h.PageSize, p.pageSize)
	}
	for {
		n, page, err := dec.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		if n > p.pages || !p.written.add(n) {
			continue
		}
		if _, err := db.WriteAt(page, int64(n-1)*int64(h.PageSize)); err != nil {
			return 0, err
		}
	}
	if after == 0 {
		p.sum = sumOf(dec.post)
	} else if dec.post != after {
		return 0, fmt.Errorf("it ends with checksum %s, the file after it begins with %s", dec.post, after)
	}
	return h.PreApplyChecksum, nil
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

// parts reads the parts of a log file as one.
type parts struct {
	ctx  context.Context // of the Replay it serves
	file logFile
	next int
	open io.ReadCloser
}

// Read is io.Reader.
func (r *parts) Read(b []byte) (int, error) {
	for {
		if r.open == nil {
			if r.next == len(r.file.parts) {
				return 0, io.EOF
			}
			part := r.file.parts[r.next]
			rc, err := part.segment.Read(r.ctx, part.entry)
			if err != nil {
				return 0, err
			}
			r.open = rc
		}
		n, err := r.open.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		err = r.open.Close()
		r.open = nil
		r.next++
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Close closes the part that is being read.
func (r *parts) Close() error {
	if r.open == nil {
		return nil
	}
	return r.open.Close()
}
