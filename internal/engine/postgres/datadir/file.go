package datadir

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Checker verifies the pages of the files of one base. The zero Checker verifies nothing. It may be used from several
// goroutines.
type Checker struct {
	PageSize      int     // bytes; zero where the cluster has no page checksums
	SegmentBlocks uint32  // blocks in one file of a relation
	Start         wal.LSN // where the base begins

	Damage Damage // what was found

	mu     sync.Mutex
	pages  int64
	reread int64
	torn   int64
}

// NewChecker returns the checker for a base that begins at start.
func NewChecker(c Control, start wal.LSN) *Checker {
	if c.DataChecksums == 0 {
		return &Checker{Start: start}
	}
	return &Checker{PageSize: int(c.BlockSize), SegmentBlocks: c.SegmentBlocks, Start: start}
}

// Checked says how many pages were verified, how many of them had to be read again, and how many stayed torn
// although the log repairs them.
func (c *Checker) Checked() (pages, reread, torn int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pages, c.reread, c.torn
}

func (c *Checker) count(pages, reread, torn int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages += pages
	c.reread += reread
	c.torn += torn
}

// reader is where a file's bytes come from.
type reader interface {
	io.ReaderAt
	io.Closer
}

// File is one file of a base that is being read. What it gives was verified, page by page, and is summed up. ReadAt may
// be called from several goroutines; Read reads from the start.
type File struct {
	name    string
	size    int64
	in      reader
	checker *Checker
	first   uint32 // block of the relation with which the file begins
	page    int64  // zero if nothing is verified
	sum     Sum
	read    int64
}

// cachedFile is up to which size, in bytes, a file is read through the page cache: a direct request costs more than it
// spares there.
const cachedFile = 64 << 10

// Open opens e for reading. Its size is what it has now; Size tells.
func (c *Checker) Open(e Entry) (*File, error) {
	var f interface {
		reader
		Stat() (os.FileInfo, error)
	}
	var err error
	if e.Size <= cachedFile {
		f, err = os.Open(e.Path)
	} else {
		f, err = directio.Open(e.Path)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return c.newFile(e.Name, info.Size(), f), nil
}

func (c *Checker) newFile(name string, size int64, in reader) *File {
	f := &File{name: name, size: size, in: in, checker: c}
	if r, ok := RelationOf(name); ok && !r.Temp && c.PageSize > 0 {
		f.page = int64(c.PageSize)
		f.first = r.Segment * c.SegmentBlocks
	}
	return f
}

// Size is the size of the file when it was opened, in bytes.
func (f *File) Size() int64 { return f.size }

// Close closes it.
func (f *File) Close() error { return f.in.Close() }

// CRC32C is the checksum of the whole file as it was given to its readers: where it became shorter meanwhile, with zeros
// in place of what was cut off.
func (f *File) CRC32C() (uint32, error) {
	crc, err := f.sum.CRC32C(f.size)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.name, err)
	}
	return crc, nil
}

// ReadAt is io.ReaderAt. Bytes beyond Size are not given. Direct reads want p and off aligned, as directio says; reads
// that do not hold whole pages cost a copy.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.size {
		return 0, io.EOF
	}
	want := int(min(int64(len(p)), f.size-off))
	if f.page > 0 && (off%f.page != 0 || (off+int64(want))%f.page != 0 && off+int64(want) != f.size) {
		n, err := f.readPart(p[:want], off)
		if err == nil && n < len(p) {
			err = io.EOF
		}
		return n, err
	}
	n, err := f.in.ReadAt(p, off) // all of p, to stay direct at the end of the file
	n = min(n, want)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read %s: %w", f.name, err)
	}
	crc, err := f.sumUp(p[:n], off)
	if err != nil {
		return 0, err
	}
	f.sum.Add(off, int64(want), CRCOfZeros(crc, int64(want-n)))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readPart reads what does not begin or end with a page.
func (f *File) readPart(p []byte, off int64) (int, error) {
	start := off - off%f.page
	end := min((off+int64(len(p))+f.page-1)/f.page*f.page, f.size)
	buf := directio.Block(int(end - start))
	n, err := f.in.ReadAt(buf, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read %s: %w", f.name, err)
	}
	if _, err := f.check(buf[:n], start); err != nil {
		return 0, err
	}
	got := copy(p, buf[min(off-start, int64(n)):n])
	f.sum.Add(off, int64(len(p)), CRCOfZeros(CRC32C(p[:got]), int64(len(p)-got)))
	return got, nil
}

// Read is io.Reader.
func (f *File) Read(p []byte) (int, error) {
	if f.read >= f.size {
		return 0, io.EOF
	}
	if f.page > 0 && int64(len(p)) > f.page {
		p = p[:int64(len(p))/f.page*f.page] // so that the next read begins with a page
	}
	n, err := f.ReadAt(p, f.read)
	f.read += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// sumStep is how much is summed up before its pages are verified. The sum runs straight through and so brings the bytes
// into the processor's cache, where the verification, which jumps, finds them: together they cost a sixth less than the
// other way round.
const sumStep = 16 << 10

// sumUp verifies the pages in p, which may mend them, and returns the CRC-32C of p.
func (f *File) sumUp(p []byte, off int64) (crc uint32, err error) {
	if f.page == 0 {
		return CRC32C(p), nil
	}
	step := max(sumStep, int(f.page))
	for at := 0; at < len(p); at += step {
		part := p[at:min(at+step, len(p))]
		next := crc32.Update(crc, castagnoli, part)
		changed, err := f.check(part, off+int64(at))
		if err != nil {
			return 0, err
		}
		if changed {
			next = crc32.Update(crc, castagnoli, part)
		}
		crc = next
	}
	return crc, nil
}

// check verifies the whole pages in p and reports whether it changed any. What is no whole page is being extended, and
// comes from the log.
func (f *File) check(p []byte, off int64) (changed bool, err error) {
	size := int(f.page)
	block := f.first + uint32(off/f.page)
	pages := int64(0)
	for at := 0; at+size <= len(p); at += size {
		page := p[at : at+size]
		if CheckPage(page, block) == PageBad {
			changed = true
			if err := f.again(page, off+int64(at), block); err != nil {
				return changed, err
			}
		}
		block++
		pages++
	}
	f.checker.count(pages, 0, 0)
	return changed, nil
}

// A page that was caught while the server wrote it is whole a moment later. One that stays as it is, is damaged: no
// write is under way. One that changes with every look is hot; it is in the log.
const (
	pageTries   = 12
	stableTries = 3
	pagePause   = time.Millisecond
	// patience is for how many damaged pages of a base the pauses are made: a lost disk must not cost a minute for
	// every thousand of them.
	patience = 1000
)

// again reads a page that is not right until it is, or until it is known to be damaged.
func (f *File) again(page []byte, off int64, block uint32) error {
	before := bytes.Clone(page)
	pause, stable := pagePause, 0
	for range pageTries {
		if f.checker.Damage.Pages() < patience {
			time.Sleep(pause)
		}
		n, err := f.in.ReadAt(page, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", f.name, err)
		}
		clear(page[n:]) // truncated meanwhile
		if CheckPage(page, block) != PageBad {
			f.checker.count(0, 1, 0)
			return nil
		}
		if !bytes.Equal(before, page) {
			stable = 0
			copy(before, page)
			continue
		}
		if stable++; stable == stableTries {
			break
		}
		pause *= 4
	}
	if stable < stableTries && PageLSN(page) >= f.checker.Start {
		f.checker.count(0, 1, 1)
		return nil
	}
	f.checker.Damage.Add(f.name, block)
	return nil
}
