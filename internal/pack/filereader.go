package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
)

// FileReader reads one file of a base at any place. ReadAt may be called from several goroutines, one works at a time.
type FileReader struct {
	r    *BaseReader
	ctx  context.Context // of OpenFile: io.ReaderAt has none of its own
	file *baseFile
	runs []*run

	mu     sync.Mutex
	frames *frameReader
	buf    []byte // the extents read last
	from   int64
}

// OpenFile opens a regular file for random access. ctx is for all reads from it.
func (r *BaseReader) OpenFile(ctx context.Context, name string) (*FileReader, error) {
	f := r.byName[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if !f.Mode.IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	out := &FileReader{r: r, ctx: ctx, file: f, frames: newFrameReader(r.key[:])}
	rest := f.Size
	if rest == 0 {
		return out, nil
	}
	for run, err := range r.runs(ctx, r.contents.Maps[f.Map-1:]) {
		if err != nil {
			return nil, err
		}
		if run.File != f.index {
			continue
		}
		if run.Offset != f.Size-rest {
			return nil, corrupt(r.mapOf(f), nil, "the extents of file %q are not in order", name)
		}
		out.runs = append(out.runs, run)
		if rest -= run.size(); rest == 0 {
			return out, nil
		}
	}
	return nil, corrupt(r.mapOf(f), nil, "the maps miss %d bytes of file %q", rest, name)
}

// Size is the size of the file.
func (f *FileReader) Size() int64 { return f.file.Size }

// ReadAt is io.ReaderAt. Every extent's digest is verified.
func (f *FileReader) ReadAt(p []byte, off int64) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.file.Name, Err: fs.ErrInvalid}
	}
	for n < len(p) && off < f.file.Size {
		if off < f.from || off >= f.from+int64(len(f.buf)) {
			if err := f.load(off); err != nil {
				return n, err
			}
		}
		m := copy(p[n:], f.buf[off-f.from:])
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// load reads the extent that holds off.
func (f *FileReader) load(off int64) error {
	k, ok := slices.BinarySearchFunc(f.runs, off, func(r *run, off int64) int {
		switch {
		case off < r.Offset:
			return 1
		case off >= r.Offset+r.size():
			return -1
		}
		return 0
	})
	if !ok {
		return errors.New("read base: no run holds the offset") // OpenFile has seen that the runs join
	}
	run := f.runs[k]
	at, from, i := run.At, run.Offset, 0
	for off >= from+int64(run.Sizes[i]) {
		at += int64(run.Stored[i])
		from += int64(run.Sizes[i])
		i++
	}
	u, err := f.r.pack(f.ctx, run.Pack)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.file.Name, err)
	}
	if err := f.frames.begin(f.ctx, u, &job{at: at, length: int64(run.Stored[i])}); err != nil {
		return err
	}
	defer f.frames.end()
	f.buf, err = f.frames.extent(f.buf[:0], f.file, run, i, at)
	f.from = from
	if err != nil {
		f.buf = f.buf[:0]
	}
	return err
}
