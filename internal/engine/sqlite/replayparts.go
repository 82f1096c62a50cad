package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/backstaydb/backstay/internal/engine"
)

// parts reads the parts of a log file as one. Those that lie in newer segments are rare, and each such segment is opened
// for them alone.
type parts struct {
	ctx     context.Context // of the Replay it serves
	log     engine.Log
	segment engine.LogSegment // that the file begins in; not closed
	file    logFile

	next  int // part
	part  io.ReadCloser
	other engine.LogSegment // the newer segment that part lies in
	which int               // its number
}

// Read is io.Reader.
func (r *parts) Read(b []byte) (int, error) {
	for {
		if r.part == nil {
			if err := r.begin(); err != nil {
				return 0, err
			}
		}
		n, err := r.part.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		err = r.part.Close()
		r.part = nil
		r.next++
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// readerAt gives a file of one part for reading at any place; nil where the log can only give it in order. It is valid until
// Close.
func (r *parts) readerAt() (io.ReaderAt, error) {
	if len(r.file.entries)+len(r.file.beyond) != 1 {
		return nil, nil
	}
	if err := r.begin(); err != nil {
		return nil, err
	}
	at, _ := r.part.(io.ReaderAt)
	return at, nil
}

// begin opens the next part; io.EOF says that there is none.
func (r *parts) begin() (err error) {
	own := len(r.file.entries)
	if r.next < own {
		r.part, err = r.segment.Read(r.ctx, r.file.entries[r.next])
		return err
	}
	if r.next-own == len(r.file.beyond) {
		return io.EOF
	}
	part := r.file.beyond[r.next-own]
	if r.other == nil || r.which != part.segment {
		if err := r.leave(); err != nil {
			return err
		}
		if r.other, err = r.log.Open(r.ctx, part.segment); err != nil {
			return fmt.Errorf("open segment %s: %w", r.log.Segments()[part.segment].Name, err)
		}
		r.which = part.segment
	}
	r.part, err = r.other.Read(r.ctx, part.entry)
	return err
}

// leave closes the newer segment.
func (r *parts) leave() error {
	if r.other == nil {
		return nil
	}
	err := r.other.Close()
	r.other = nil
	return err
}

// Close closes what is being read.
func (r *parts) Close() (err error) {
	if r.part != nil {
		err = r.part.Close()
	}
	return errors.Join(err, r.leave())
}
