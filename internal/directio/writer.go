package directio

import (
	"errors"
	"os"
	"path/filepath"
)

// writerBlock is how much a Writer collects before it asks the disk: large enough that a request costs little
// beside the transfer, small enough for many files at once.
const writerBlock = 1 << 20

// Writer is a new file. Write appends; WriteAt writes anywhere; the two are not mixed. A Writer is used from one
// goroutine at a time, except WriteAt, which may be called from several for ranges that do not touch a common block.
type Writer struct {
	plain  *os.File
	direct *os.File
	block  []byte // what Write has collected
	used   int
	off    int64 // where block belongs
	closed bool
}

// Create makes the file; it is an error, fs.ErrExist, if path is taken.
func Create(path string, perm os.FileMode) (*Writer, error) {
	return create(func(flag int) (*os.File, error) { return os.OpenFile(path, flag, perm) })
}

// CreateIn makes the file named name, which cannot lead out of root.
func CreateIn(root *os.Root, name string, perm os.FileMode) (*Writer, error) {
	name = filepath.FromSlash(name)
	return create(func(flag int) (*os.File, error) { return root.OpenFile(name, flag, perm) })
}

// CreatePlainIn is CreateIn for a small file: it is written through the page cache, which costs fewer requests.
func CreatePlainIn(root *os.Root, name string, perm os.FileMode) (*Writer, error) {
	plain, err := root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, err
	}
	return &Writer{plain: plain}, nil
}

func create(open func(flag int) (*os.File, error)) (*Writer, error) {
	// A file that may be only read (mode 0400) can still be written through the descriptor that made it, but not
	// opened a second time; it is then written through the cache.
	plain, err := open(os.O_WRONLY | os.O_CREATE | os.O_EXCL)
	if err != nil {
		return nil, err
	}
	w := &Writer{plain: plain}
	if directFlag != 0 {
		if direct, err := open(os.O_WRONLY | directFlag); err == nil {
			w.direct = direct
		}
	}
	return w, nil
}

// Direct reports whether aligned writes go past the page cache.
func (w *Writer) Direct() bool { return w.direct != nil }

// Reserve asks the file system for size bytes, so that a file written in several regions at once stays in one
// piece and a full disk shows before work is done. A file system that cannot is no error.
func (w *Writer) Reserve(size int64) error { return reserve(w.plain, size) }

// Write appends p.
func (w *Writer) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if w.used == 0 && len(p) >= writerBlock && aligned(p[:writerBlock], w.off) {
			n := len(p) / writerBlock * writerBlock
			if err := w.writeAt(p[:n], w.off); err != nil {
				return total - len(p), err
			}
			w.off += int64(n)
			p = p[n:]
			continue
		}
		if w.block == nil {
			w.block = Block(writerBlock)
		}
		n := copy(w.block[w.used:], p)
		w.used += n
		p = p[n:]
		if w.used == len(w.block) {
			if err := w.flush(); err != nil {
				return total - len(p), err
			}
		}
	}
	return total, nil
}

// WriteAt writes p at off; it is direct where p and off are aligned.
func (w *Writer) WriteAt(p []byte, off int64) (int, error) {
	whole := len(p) / Align * Align
	if w.direct != nil && whole > 0 && aligned(p[:whole], off) {
		if err := w.writeAt(p[:whole], off); err != nil {
			return 0, err
		}
	} else {
		whole = 0
	}
	if whole == len(p) {
		return whole, nil
	}
	n, err := w.plain.WriteAt(p[whole:], off+int64(whole))
	return whole + n, err
}

// Truncate sets the size of the file, in bytes.
func (w *Writer) Truncate(size int64) error { return w.plain.Truncate(size) }

// Sync makes all that was written durable.
func (w *Writer) Sync() error {
	if err := w.drain(); err != nil {
		return err
	}
	return w.plain.Sync()
}

// Close writes what is left and closes the file. It does not sync. A second Close does nothing.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	err := w.drain()
	w.closed = true
	w.block = nil
	err = errors.Join(err, w.plain.Close())
	if w.direct != nil {
		err = errors.Join(err, w.direct.Close())
	}
	return err
}

// drain writes the collected bytes without losing the alignment of what follows: a tail that is no whole block goes
// through the cache and stays collected, to be written again with what is appended to it.
func (w *Writer) drain() error {
	if w.used == 0 || w.closed {
		return nil
	}
	whole := w.used / Align * Align
	if whole > 0 {
		if err := w.writeAt(w.block[:whole], w.off); err != nil {
			return err
		}
		w.off += int64(whole)
		w.used = copy(w.block, w.block[whole:w.used])
	}
	if w.used == 0 {
		return nil
	}
	_, err := w.plain.WriteAt(w.block[:w.used], w.off)
	return err
}

func (w *Writer) flush() error {
	if err := w.writeAt(w.block[:w.used], w.off); err != nil {
		return err
	}
	w.off += int64(w.used)
	w.used = 0
	return nil
}

// writeAt writes whole aligned blocks, through the cache where the file system refuses them.
func (w *Writer) writeAt(p []byte, off int64) error {
	if w.direct != nil {
		_, err := w.direct.WriteAt(p, off)
		if err == nil || !refused(err) {
			return err
		}
	}
	if _, err := w.plain.WriteAt(p, off); err != nil {
		return err
	}
	flushCache(w.plain, off, int64(len(p)))
	return nil
}
