package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sync"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine"
)

// BaseOptions say how a base is packed.
type BaseOptions struct {
	Recipients []age.Recipient
	DigestKey  [32]byte          // of the keyed BLAKE3 digests; it goes into the sealed list
	PackBytes  int64             // a pack ends when it has that many; zero means 256 MiB
	Workers    int               // goroutines that read and compress; zero means two more than there are processors
	Progress   func(plain int64) // told the plain bytes packed so far, on a goroutine of the writer; may be nil
}

// Contents is what a base became.
type Contents struct {
	Packs  []Part `json:"packs"`
	Maps   []Part `json:"maps"`
	Sealed []byte `json:"sealed"` // age( zstd( JSON lines ) ): the file list and the digest key
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`            // of regular files
	Padded int64  `json:"padded,omitempty"` // of those, zeros in place of what could not be read
}

// StoredBytes is the size of all objects together.
func (c *Contents) StoredBytes() (n int64) {
	for _, p := range c.Packs {
		n += p.Size
	}
	for _, p := range c.Maps {
		n += p.Size
	}
	return n + int64(len(c.Sealed))
}

// smallFile is the size up to which files share frames.
const smallFile = frameBytes / 2

// BaseWriter packs the files of one base; it is an engine.BaseSink. Put, Finish and Abort are called from one
// goroutine at a time. A writer must be finished or aborted.
type BaseWriter struct {
	packer  *packer
	sink    *baseSink
	pending *block // small files and headers that are not submitted yet
	files   int
	bytes   int64
	ended   bool
}

var _ engine.BaseSink = (*BaseWriter)(nil)

// NewBaseWriter starts a base. ctx is for all that it does.
func NewBaseWriter(ctx context.Context, out Output, o BaseOptions) *BaseWriter {
	if o.PackBytes == 0 {
		o.PackBytes = 256 << 20
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0) + 2 // so many wait for a disk
	}
	sink := newBaseSink(out, o)
	return &BaseWriter{sink: sink, packer: startPacker(ctx, o.Workers, o.DigestKey[:], sink.take)}
}

// Put stores one file, folder or symbolic link, as engine.BaseSink says. Sizes are those of f: what a file has more
// is left out, what it has less is filled up with zeros and counted in Padded.
func (w *BaseWriter) Put(ctx context.Context, f engine.File, r io.Reader) error {
	if w.ended {
		return errors.New("store file: the base is finished")
	}
	if !fs.ValidPath(f.Name) || f.Name == "." {
		return fmt.Errorf("store %q: not a name within a base: %w", f.Name, fs.ErrInvalid)
	}
	if !f.Mode.IsRegular() {
		f.Size, r = 0, nil
	}
	header, err := tarHeader(f)
	if err != nil {
		return err
	}
	file := &baseFile{File: f, index: w.files}
	w.files++
	w.bytes += f.Size
	if f.Size <= smallFile {
		return w.putSmall(file, header, r)
	}
	if err := w.addHeader(header); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if at, ok := r.(io.ReaderAt); ok {
		return w.putAt(ctx, file, at)
	}
	return w.putStream(ctx, file, r)
}

// putSmall adds header and data to a frame that is shared with other files.
func (w *BaseWriter) putSmall(file *baseFile, header []byte, r io.Reader) error {
	size := int(file.Size)
	if err := w.room(len(header) + size + padding(file.Size)); err != nil {
		return err
	}
	b := w.pending
	b.append(header)
	if size > 0 {
		p := b.mem[b.plain : b.plain+size]
		padded, err := readPadded(r, p)
		if err != nil {
			return fmt.Errorf("read %s: %w", file.Name, err)
		}
		b.extents = append(b.extents, extent{file: file, frame: len(b.ends), in: b.plain - b.frameStart(), size: size})
		file.Padded = padded
		b.plain += size
		b.pad(padding(file.Size))
	}
	b.files = append(b.files, file)
	return nil
}

// pad appends n zeros, for which there must be room.
func (b *block) pad(n int) {
	clear(b.mem[b.plain : b.plain+n])
	b.plain += n
}

// room makes sure that n bytes fit in the pending frame. Headers with long names may be larger than any frame's
// share, but never than a frame.
func (w *BaseWriter) room(n int) error {
	if n > frameBytes {
		return errors.New("store file: its name or link is too long")
	}
	if w.pending != nil && w.pending.plain-w.pending.frameStart()+n > frameBytes {
		w.pending.endFrame()
	}
	if w.pending != nil && w.pending.plain+n > blockBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.pending == nil {
		b, err := w.packer.take()
		if err != nil {
			return err
		}
		w.pending = b
	}
	return nil
}

func (w *BaseWriter) addHeader(header []byte) error {
	if err := w.room(len(header)); err != nil {
		return err
	}
	w.pending.append(header)
	return nil
}

// flush submits what is pending.
func (w *BaseWriter) flush() error {
	if w.pending == nil {
		return nil
	}
	w.pending.endFrame()
	w.packer.submit(w.pending)
	w.pending = nil
	return nil
}

// putAt lets the workers read the file, a block each.
func (w *BaseWriter) putAt(ctx context.Context, file *baseFile, r io.ReaderAt) error {
	var reads sync.WaitGroup
	defer reads.Wait() // r is the caller's again when Put has returned
	for off := int64(0); off < file.Size; off += blockBytes {
		b, err := w.block(ctx, file, off)
		if err != nil {
			return err
		}
		size := int(min(blockBytes, file.Size-off))
		reads.Add(1)
		b.filled = reads.Done
		b.fill = func(p []byte) error {
			padded, err := readAtPadded(r, p, size, off)
			b.padded = padded
			if err != nil {
				return fmt.Errorf("read %s: %w", file.Name, err)
			}
			return nil
		}
		w.packer.submit(b)
	}
	return nil
}

// putStream reads the file here and lets the workers do the rest.
func (w *BaseWriter) putStream(ctx context.Context, file *baseFile, r io.Reader) error {
	for off := int64(0); off < file.Size; off += blockBytes {
		b, err := w.block(ctx, file, off)
		if err != nil {
			return err
		}
		size := int(min(blockBytes, file.Size-off))
		if b.padded, err = readPadded(r, b.mem[:size]); err != nil {
			w.packer.giveBack(b)
			return fmt.Errorf("read %s: %w", file.Name, err)
		}
		clear(b.mem[size:b.plain])
		w.packer.submit(b)
	}
	return nil
}

// block prepares the block of a large file that begins at off: frames and extents coincide, and the padding of the
// tar stream is in the last frame.
func (w *BaseWriter) block(ctx context.Context, file *baseFile, off int64) (*block, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	b, err := w.packer.take()
	if err != nil {
		return nil, err
	}
	size := int(min(blockBytes, file.Size-off))
	b.plain = size
	if off+int64(size) == file.Size {
		b.plain += padding(file.Size)
		b.files = append(b.files, file)
	}
	b.cut(frameBytes)
	for i := range b.ends {
		at := i * frameBytes
		b.extents = append(b.extents, extent{file: file, offset: off + int64(at), frame: i, size: min(frameBytes, size-at)})
	}
	return b, nil
}

// Finish packs what is left and returns what was made. The base exists when the caller has kept that.
func (w *BaseWriter) Finish(ctx context.Context) (Contents, error) {
	if w.ended {
		return Contents{}, errors.New("finish base: it is finished already")
	}
	if err := w.room(len(tarTrailer)); err != nil {
		return Contents{}, errors.Join(err, w.Abort())
	}
	w.pending.append(tarTrailer[:])
	err := w.flush()
	w.ended = true
	if packed := w.packer.finish(); err == nil {
		err = packed
	}
	if err != nil {
		return Contents{}, errors.Join(err, w.sink.abort())
	}
	c, err := w.sink.finish(ctx)
	if err != nil {
		return Contents{}, errors.Join(err, w.sink.abort())
	}
	c.Files, c.Bytes = w.files, w.bytes
	return c, nil
}

// errAborted is why the goroutines of an aborted base end.
var errAborted = errors.New("base was given up")

// Abort gives the base up: the object being written is removed, those before it are the caller's to delete. After
// Finish it does nothing.
func (w *BaseWriter) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	if w.pending != nil {
		w.packer.giveBack(w.pending)
		w.pending = nil
	}
	w.packer.abort(errAborted)
	return w.sink.abort()
}

// readPadded fills p from r; what r does not give is zeros, and their number is returned.
func readPadded(r io.Reader, p []byte) (padded int64, err error) {
	n := 0
	if r != nil {
		n, err = io.ReadFull(r, p)
	}
	return pad(p, n, err)
}

// readAtPadded reads size bytes at off; the rest of p is zeros.
func readAtPadded(r io.ReaderAt, p []byte, size int, off int64) (padded int64, err error) {
	// A read of whole blocks stays direct; what it gives beyond size is overwritten.
	n, err := r.ReadAt(p[:(size+directio.Align-1)/directio.Align*directio.Align], off)
	clear(p[size:])
	return pad(p[:size], min(n, size), err)
}

func pad(p []byte, n int, err error) (int64, error) {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	clear(p[n:])
	return int64(len(p) - n), nil
}
