package pack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"time"

	"github.com/zeebo/blake3"

	"github.com/backstaydb/backstay/internal/zstd"
)

// SealSegment writes one segment to w, in one pass and with bounded memory, and says what it wrote. It does not
// close w. Only the index and the marks are held in memory: some ten bytes for a log file and seven for a commit.
func SealSegment(ctx context.Context, w io.Writer, s SegmentSealer, spec SegmentSpec) (Sealed, error) {
	summed := &crcWriter{w: w}
	seal, err := newSealer(summed, s.Recipients)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal segment: %w", err)
	}
	sw := &segmentWriter{seal: seal, frame: logFrameBytes, time: spec.Segment.Until}
	sealed, err := sw.write(ctx, spec)
	if err != nil {
		sw.abort(err)
		return Sealed{}, err
	}
	sealed.CRC32C = fmt.Sprintf("%08x", summed.sum)
	return sealed, nil
}

// crcWriter sums up what it writes. CRC-32C takes a twentieth of the time of SHA-256.
type crcWriter struct {
	w   io.Writer
	sum uint32
}

func (c *crcWriter) Write(p []byte) (int, error) {
	c.sum = crc32.Update(c.sum, Castagnoli, p)
	return c.w.Write(p)
}

// Castagnoli is the table of Sealed.CRC32C.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentWriter is a segment in the making. A small one, as a tip is, is packed on the caller's goroutine; a packer
// is started with the second block.
type segmentWriter struct {
	seal   *sealer
	packer *packer
	block  *block // being filled; nil when there is none
	frame  int    // plain bytes of the frames being made
	time   time.Time

	header []byte
	tar    int64       // bytes of the tar stream so far
	frames []frameSize // written so far; the packer's while it runs
	index  indexWriter
	bytes  int64 // of log
}

func (w *segmentWriter) write(ctx context.Context, spec SegmentSpec) (Sealed, error) {
	plainFound := false
	for e := range spec.Entries {
		if err := w.entry(ctx, &e, &plainFound); err != nil {
			return Sealed{}, err
		}
	}
	marks := newMarksEncoder()
	if spec.Marks != nil {
		for m := range spec.Marks {
			if err := marks.add(m); err != nil {
				return Sealed{}, err
			}
		}
	}
	marksAt, err := w.whole(ctx, marksName, marks.buf)
	if err != nil {
		return Sealed{}, err
	}
	if err := w.settle(ctx); err != nil {
		return Sealed{}, err
	}
	ref, err := w.finish(w.index.encode(w.frames, marksAt, int64(len(marks.buf))))
	if err != nil {
		return Sealed{}, fmt.Errorf("seal segment: %w", err)
	}
	out := Sealed{Segment: spec.Segment, Size: w.seal.size, SHA256: w.seal.digest(), Index: ref}
	out.Segment.Bytes, out.Segment.StoredBytes = w.bytes, w.seal.size
	return out, nil
}

// entry adds one log file.
func (w *segmentWriter) entry(ctx context.Context, e *SegmentEntry, plainFound *bool) error {
	if err := e.valid(); err != nil {
		return err
	}
	if e.Condensed && *plainFound {
		return fmt.Errorf("seal segment: condensed log file %s comes after a plain one", e.File)
	}
	*plainFound = !e.Condensed
	if err := w.head(ctx, e.tarName(), e.Size); err != nil {
		return err
	}
	if e.Condensed {
		// Its data begins on a frame of its own and has small ones, so that single pages can be read.
		if err := w.flush(ctx); err != nil {
			return err
		}
		w.frame = sparseBytes
	}
	w.index.add(e, w.tar)
	if err := w.copy(ctx, e); err != nil {
		return err
	}
	if e.Condensed {
		if err := w.flush(ctx); err != nil {
			return err
		}
		w.frame = logFrameBytes
	} else {
		w.bytes += e.Size
	}
	return nil
}

// head adds a tar header.
func (w *segmentWriter) head(ctx context.Context, name string, size int64) error {
	var err error
	if w.header, err = appendHeader(w.header[:0], name, size, w.time); err != nil {
		return fmt.Errorf("seal segment: %w", err)
	}
	return w.add(ctx, w.header)
}

// copy adds the data of an entry and what fills up its last block of the tar.
func (w *segmentWriter) copy(ctx context.Context, e *SegmentEntry) error {
	if e.Size == 0 {
		return nil
	}
	r, err := e.Open()
	if err != nil {
		return fmt.Errorf("seal segment: open log file %s: %w", e.File, err)
	}
	err = w.copyFrom(ctx, r, e.Size)
	if e := r.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("seal segment: read log file %s: %w", e.File, err)
	}
	return w.add(ctx, tarTrailer[:padding(e.Size)])
}

func (w *segmentWriter) copyFrom(ctx context.Context, r io.Reader, rest int64) error {
	for rest > 0 {
		b, err := w.room(ctx)
		if err != nil {
			return err
		}
		n, err := io.ReadFull(r, b.mem[b.plain:min(int64(b.plain)+rest, blockBytes)])
		b.plain += n
		w.tar += int64(n)
		rest -= int64(n)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds bytes of the tar stream.
func (w *segmentWriter) add(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		b, err := w.room(ctx)
		if err != nil {
			return err
		}
		n := b.append(p)
		w.tar += int64(n)
		p = p[n:]
	}
	return nil
}

// room gives a block that has some.
func (w *segmentWriter) room(ctx context.Context) (*block, error) {
	if w.block != nil && w.block.plain == blockBytes {
		if err := w.flush(ctx); err != nil {
			return nil, err
		}
	}
	if w.block == nil {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if w.packer == nil {
			w.block = newBlock()
			return w.block, nil
		}
		b, err := w.packer.take()
		if err != nil {
			return nil, err
		}
		w.block = b
	}
	return w.block, nil
}

// flush sends the block on its way.
func (w *segmentWriter) flush(ctx context.Context) error {
	b := w.block
	if b == nil {
		return nil
	}
	w.block = nil
	b.cut(w.frame)
	if w.packer == nil {
		w.packer = startPacker(ctx, runtime.GOMAXPROCS(0), nil, w.take)
		w.packer.slots <- struct{}{}
	}
	w.packer.submit(b)
	return nil
}

// settle waits until every frame has been written.
func (w *segmentWriter) settle(ctx context.Context) error {
	if w.packer == nil && w.block != nil {
		b := w.block
		w.block = nil
		defer b.release()
		b.cut(w.frame)
		newWorker(nil).pack(b)
		return w.take(ctx, b)
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	p := w.packer
	w.packer = nil
	return p.finish()
}

// take writes a packed block.
func (w *segmentWriter) take(_ context.Context, b *block) error {
	start, packed := 0, b.packed
	for i, end := range b.ends {
		n := b.stored[i]
		w.frames = append(w.frames, frameSize{end - start, n, blake3.Sum256(packed[:n])})
		start, packed = end, packed[n:]
	}
	if _, err := w.seal.Write(b.packed); err != nil {
		return fmt.Errorf("seal segment: %w", err)
	}
	return nil
}

// whole adds a file whose bytes are in memory and returns where they are.
func (w *segmentWriter) whole(ctx context.Context, name string, data []byte) (int64, error) {
	if err := w.head(ctx, name, int64(len(data))); err != nil {
		return 0, err
	}
	at := w.tar
	if err := w.add(ctx, data); err != nil {
		return 0, err
	}
	return at, w.add(ctx, tarTrailer[:padding(int64(len(data)))])
}

// finish writes the index, in frames of its own between its header and the end of the tar, and ends the age file.
func (w *segmentWriter) finish(index []byte) (IndexRef, error) {
	header, err := appendHeader(nil, indexName, int64(len(index)), w.time)
	if err != nil {
		return IndexRef{}, err
	}
	encoder := zstd.NewEncoder()
	var ref IndexRef
	out := encoder.Encode(nil, header)
	ref.Offset = w.seal.plain + int64(len(out))
	for rest := index; len(rest) > 0; {
		n := min(len(rest), logFrameBytes)
		out = encoder.Encode(out, rest[:n])
		rest = rest[n:]
	}
	ref.Length = w.seal.plain + int64(len(out)) - ref.Offset
	ref.SHA256 = fmt.Sprintf("%x", sha256.Sum256(out[int64(len(out))-ref.Length:]))
	out = encoder.Encode(out, append(make([]byte, padding(int64(len(index)))), tarTrailer[:]...))
	if _, err := w.seal.Write(out); err != nil {
		return IndexRef{}, err
	}
	return ref, w.seal.finish()
}

// abort ends the goroutines.
func (w *segmentWriter) abort(cause error) {
	if w.packer != nil {
		w.packer.abort(cause)
	}
	if w.block != nil {
		w.block.release()
	}
	_ = w.seal.stop() // the cause is already known
}
