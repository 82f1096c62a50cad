package wal

import (
	"errors"
	"fmt"
	"io"
)

var errLimit = errors.New("read log: the limit was reached")

// ErrNoBoundary says that no record ends in the log up to the limit: it is all inside of one.
var ErrNoBoundary = errors.New("find record boundary: no record ends there")

// Boundary finds the last place at or before upTo at which a record ends, in the log that r holds from from on: a
// record boundary or the beginning of a page. The log may end before upTo, or be followed by zeros or by what is left
// of an older file; bytes behind upTo are of no effect. It returns the record that ends there, with Start 0 if it
// began before from, and ErrNoBoundary if there is none. Errors of r are returned, io.EOF is none.
func Boundary(r io.Reader, from, upTo LSN, o Options) (LSN, Record, error) {
	s := NewScanner(from, o)
	s.limit = upTo
	buf := make([]byte, 256<<10)
	for s.err == nil && s.pos <= upTo {
		n, err := r.Read(buf)
		_ = s.Feed(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, Record{}, fmt.Errorf("find record boundary: %w", err)
		}
	}
	if s.boundary == 0 || s.boundary > upTo {
		return 0, Record{}, ErrNoBoundary
	}
	return s.boundary, s.last, nil
}
