package datadir

import (
	"errors"
	"io"
)

// Stream verifies the pages of a file that passes once, as a server sends it. It cannot be read again: a page that is
// not right counts as torn if it was changed since the base began, for then the log has it whole, and else as damaged.
type Stream struct {
	file *File
	in   io.Reader
	part []byte // a page that the caller has no room for
	rest []byte // of part, not given yet
}

// NewStream reads the file called name, of size bytes, from in.
func (c *Checker) NewStream(name string, size int64, in io.Reader) *Stream {
	return &Stream{file: c.newFile(name, size, nil), in: in}
}

// Read is io.Reader.
func (s *Stream) Read(p []byte) (int, error) {
	f := s.file
	if f.page == 0 || len(p) == 0 {
		return s.in.Read(p)
	}
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	if int64(len(p)) >= f.page {
		return s.pages(p[:int64(len(p))/f.page*f.page])
	}
	if s.part == nil {
		s.part = make([]byte, f.page)
	}
	n, err := s.pages(s.part)
	s.rest = s.part[:n]
	if n == 0 {
		return 0, err
	}
	return s.Read(p)
}

// pages reads and verifies as many as p holds.
func (s *Stream) pages(p []byte) (int, error) {
	f := s.file
	n, err := io.ReadFull(s.in, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	size := int(f.page)
	block := f.first + uint32(f.read/f.page)
	for at := 0; at+size <= n; at += size {
		page := p[at : at+size]
		if CheckPage(page, block) == PageBad {
			if PageLSN(page) >= f.checker.Start {
				f.checker.count(0, 0, 1)
			} else {
				f.checker.Damage.Add(f.name, block)
			}
		}
		block++
	}
	f.checker.count(int64(n/size), 0, 0)
	f.read += int64(n)
	return n, err
}
