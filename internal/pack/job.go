package pack

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"iter"

	"github.com/zeebo/blake3"

	"github.com/backstaydb/backstay/internal/zstd"
)

// jobBytes is about how much of a pack one request reads. A request costs a round trip, so it should be large; the
// more requests run at once, the better, so it should be small.
const jobBytes = 4 << 20

// job is a stretch of one pack, read with one request, and the runs that lie in it.
type job struct {
	pack   int
	at     int64 // plain offset in the pack's age file
	length int64
	runs   []*run
}

// jobs groups the runs in maps that keep wants, in order.
func (r *BaseReader) jobs(ctx context.Context, maps []Part, keep func(*baseFile) bool) iter.Seq2[*job, error] {
	return func(yield func(*job, error) bool) {
		var j *job
		for next, err := range r.runs(ctx, maps) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !keep(r.files[next.File]) {
				continue
			}
			if j != nil && !j.takes(next) {
				if !yield(j, nil) {
					return
				}
				j = nil
			}
			if j == nil {
				j = &job{pack: next.Pack, at: next.At}
			}
			j.runs = append(j.runs, next)
			j.length = max(j.length, next.At+next.length()-j.at)
		}
		if j != nil {
			yield(j, nil)
		}
	}
}

// jobGap is how many bytes that nobody wants are read rather than asking anew: tar headers, mostly.
const jobGap = 64 << 10

// takes reports whether next can be read with j's request. Runs that share a frame come after each other.
func (j *job) takes(next *run) bool {
	last := j.runs[len(j.runs)-1]
	end := j.at + j.length
	follows := next.At >= end && next.At-end <= jobGap || next.At == last.At && len(last.Stored) == 1
	return next.Pack == j.pack && follows && j.length < jobBytes
}

// frameReader reads the frames of a job in order and checks every extent.
type frameReader struct {
	decoder *zstd.Decoder
	hasher  *blake3.Hasher
	packed  []byte
	frame   []byte // the last frame that was decoded on its own, since extents share it
	frameAt int64

	in   *unsealed
	name string
	at   int64 // where in stands
}

func newFrameReader(key []byte) *frameReader {
	return &frameReader{decoder: zstd.NewDecoder(), hasher: newHasher(key), packed: make([]byte, maxStored)}
}

// begin starts to read j.
func (f *frameReader) begin(ctx context.Context, u *unsealer, j *job) error {
	in, err := u.open(ctx, j.at, j.length)
	if err != nil {
		return err
	}
	f.in, f.name, f.at, f.frameAt = in, u.src.Name, j.at, -1
	return nil
}

func (f *frameReader) end() {
	if f.in != nil {
		f.in.Close()
		f.in = nil
	}
}

// extent appends extent i of r, whose frame lies at at, to dst, which has room for a whole frame.
func (f *frameReader) extent(dst []byte, file *baseFile, r *run, i int, at int64) ([]byte, error) {
	size := r.Sizes[i]
	shared := r.In > 0 || len(r.Sizes) == 1 && size <= smallFile
	var data []byte
	var err error
	if shared {
		if data, err = f.sharedFrame(at, r.Stored[i]); err != nil {
			return dst, err
		}
		if r.In+size > len(data) {
			return dst, corrupt(f.name, nil, "the frame at %d has %d bytes, file %q needs %d", at, len(data), file.Name, r.In+size)
		}
		data = data[r.In : r.In+size]
		dst = append(dst, data...)
	} else {
		before := len(dst)
		if dst, err = f.next(dst, at, r.Stored[i]); err != nil {
			return dst[:before], err
		}
		if len(dst)-before < size {
			return dst[:before], corrupt(f.name, nil, "the frame at %d has %d bytes, file %q needs %d", at, len(dst)-before, file.Name, size)
		}
		dst = dst[:before+size]
		data = dst[before:]
	}
	if got := sum(f.hasher, data); !bytes.Equal(got[:], r.digest(i)) {
		return dst[:len(dst)-size], digestError(f.name, file, r, i, got[:])
	}
	return dst, nil
}

func digestError(object string, file *baseFile, r *run, i int, got []byte) error {
	off := r.Offset
	for _, n := range r.Sizes[:i] {
		off += int64(n)
	}
	return &CorruptError{Object: object, Detail: fmt.Sprintf("digest of file %q, bytes %d to %d", file.Name, off, off+int64(r.Sizes[i])),
		Want: hex.EncodeToString(r.digest(i)), Got: hex.EncodeToString(got)}
}

// sharedFrame decodes the frame at at unless it was the last.
func (f *frameReader) sharedFrame(at int64, stored int) ([]byte, error) {
	if f.frameAt == at {
		return f.frame, nil
	}
	f.frameAt = -1
	frame, err := f.next(f.frame[:0], at, stored)
	f.frame = frame
	if err != nil {
		return nil, err
	}
	f.frameAt = at
	return frame, nil
}

// next appends the frame at at to dst.
func (f *frameReader) next(dst []byte, at int64, stored int) ([]byte, error) {
	if at < f.at {
		return dst, corrupt(f.name, nil, "the map names frame %d after %d", at, f.at)
	}
	if _, err := io.CopyN(io.Discard, f.in, at-f.at); err != nil {
		return dst, readError(f.name, err, "it ends before byte %d", at)
	}
	f.at = at
	p := f.packed[:stored]
	if _, err := io.ReadFull(f.in, p); err != nil {
		return dst, passCorrupt(f.name, err, at)
	}
	f.at += int64(stored)
	out, err := f.decoder.Decode(dst, p, frameBytes)
	if err != nil {
		return dst, corrupt(f.name, err, "the frame at %d cannot be decoded", at)
	}
	return out, nil
}

// passCorrupt leaves errors that already name the object as they are.
func passCorrupt(name string, err error, at int64) error {
	if _, ok := err.(*CorruptError); ok {
		return err
	}
	return readError(name, err, "it ends before byte %d", at)
}
