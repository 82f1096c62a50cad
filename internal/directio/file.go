package directio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// File is a file open for reading. ReadAt may be called from several goroutines.
type File struct {
	plain  *os.File
	direct *os.File // nil where the file system refuses
	size   int64    // in bytes, when it was opened
	failed atomic.Bool
	reads  atomic.Int64
}

// Open opens path for reading.
func Open(path string) (*File, error) {
	plain, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := newFile(plain)
	if direct, err := os.OpenFile(path, os.O_RDONLY|directFlag, 0); err == nil && directFlag != 0 {
		f.direct = direct
	} else if err == nil {
		direct.Close()
	}
	return f, nil
}

func newFile(plain *os.File) *File {
	f := &File{plain: plain}
	if info, err := plain.Stat(); err == nil {
		f.size = info.Size()
	}
	return f
}

// OpenIn opens name, which cannot lead out of root, for reading.
func OpenIn(root *os.Root, name string) (*File, error) {
	name = filepath.FromSlash(name)
	plain, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	f := newFile(plain)
	if directFlag != 0 {
		if direct, err := root.OpenFile(name, os.O_RDONLY|directFlag, 0); err == nil {
			f.direct = direct
		}
	}
	return f, nil
}

// Direct reports whether aligned reads go past the page cache.
func (f *File) Direct() bool { return f.direct != nil && !f.failed.Load() }

// DirectReads tells how many reads went past the page cache so far.
func (f *File) DirectReads() int64 { return f.reads.Load() }

// Stat describes the file.
func (f *File) Stat() (os.FileInfo, error) { return f.plain.Stat() }

// ReadAt is io.ReaderAt. It is direct where p and off are aligned, at the end of the file too, unless somebody keeps all
// that is asked for in the page cache: then a copy is cheaper than the disk.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if f.cached(off, int64(len(p))) {
		return f.plain.ReadAt(p, off)
	}
	if !f.Direct() || !aligned(p, off) {
		return f.readPlain(p, off)
	}
	n := 0
	for n < len(p) {
		m, err := f.direct.ReadAt(p[n:], off+int64(n))
		n += m
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			f.reads.Add(1)
			return n, io.EOF
		}
		if !refused(err) {
			return n, err
		}
		// os.File.ReadAt goes on after a short read at an unaligned offset, which the kernel refuses at the end of a
		// file; the rest, at most a block, is asked for through the cache, where the end shows as io.EOF.
		if m == 0 && n == 0 {
			f.failed.Store(true)
		}
		m, err = f.readPlain(p[n:], off+int64(n))
		return n + m, err
	}
	f.reads.Add(1)
	return n, nil
}

// cached reports whether the page cache has all of the n bytes at off that the file had when it was opened. Reading
// them there changes nothing for those who put them there.
func (f *File) cached(off, n int64) bool {
	n = min(n, f.size-off)
	return n > 0 && cached(f.plain, off, n)
}

func (f *File) readPlain(p []byte, off int64) (int, error) {
	n, err := f.plain.ReadAt(p, off)
	if n >= Align {
		dropCache(f.plain, off, int64(n))
	}
	return n, err
}

// Close closes the file.
func (f *File) Close() error {
	err := f.plain.Close()
	if f.direct != nil {
		err = errors.Join(err, f.direct.Close())
	}
	return err
}

// Section returns length bytes from off, or fewer where the file ends, read in large direct requests. Closing it does not
// close f. It may be read from one goroutine at a time.
func (f *File) Section(off, length int64) io.ReadCloser {
	return &section{f: f, off: off, end: off + length}
}

const sectionBlock = 1 << 20

var sectionBlocks = sync.Pool{New: func() any { b := Block(sectionBlock); return &b }}

type section struct {
	f        *File
	off, end int64
	block    *[]byte
	unread   []byte
}

func (s *section) Read(p []byte) (int, error) {
	if len(s.unread) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	return n, nil
}

func (s *section) fill() error {
	if s.off >= s.end {
		return io.EOF
	}
	start := s.off - s.off%Align
	size := min(sectionBlock, (s.end-start+Align-1)/Align*Align)
	if s.block == nil {
		s.block = sectionBlocks.Get().(*[]byte)
	}
	n, err := s.f.ReadAt((*s.block)[:size], start)
	got := min(start+int64(n), s.end)
	if got <= s.off {
		if err == nil {
			err = io.EOF
		}
		return err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read at %d: %w", start, err)
	}
	s.unread = (*s.block)[s.off-start : got-start]
	s.off = got
	return nil
}

func (s *section) Close() error {
	if s.block != nil {
		sectionBlocks.Put(s.block)
	}
	s.block, s.unread, s.end = nil, nil, s.off
	return nil
}
