// Package zstd makes and reads Zstandard frames (RFC 8878) of the lowest compression level, each of which stands for
// itself: no dictionary, no checksum (age and the digests above it already say more), content size in the header.
//
// Where cgo is on and libzstd is linked in, it does the work in half the time; elsewhere a codec in Go does. Both
// make and read the same format, and each is tested against the other.
package zstd

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Encoder makes frames. It is used from one goroutine at a time and may be used again and again.
type Encoder struct{ c encoder }

// Decoder reads frames. It is used from one goroutine at a time and may be used again and again.
type Decoder struct{ c decoder }

// encoder and decoder are what the two codecs implement; src of append is never empty, and of expand never gives
// more than size bytes.
type encoder interface {
	append(dst, src []byte) []byte
}

type decoder interface {
	expand(dst, src []byte, size int) ([]byte, error)
}

// NewEncoder returns an encoder of the codec that was linked in.
func NewEncoder() *Encoder { return &Encoder{newEncoder()} }

// NewDecoder returns a decoder of the codec that was linked in.
func NewDecoder() *Decoder { return &Decoder{newDecoder()} }

// Bound is the largest size that a frame of n bytes of plain data can have.
func Bound(n int) int { return n + n>>7 + 512 }

// Encode appends one frame that holds src to dst. It appends nothing for an empty src.
func (e *Encoder) Encode(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	return e.c.append(dst, src)
}

// ErrTooLarge says that a frame holds more than the reader is ready to take.
var ErrTooLarge = errors.New("frame holds more than its reader allows")

// Decode appends what the one frame in src holds to dst, at most limit bytes of it: a larger frame is ErrTooLarge.
// Frames must carry their content size. It never writes to dst beyond len(dst)+limit.
func (d *Decoder) Decode(dst, src []byte, limit int) ([]byte, error) {
	size, err := contentSize(src)
	if err != nil {
		return dst, err
	}
	if size == 0 {
		return dst, errors.New("decode frame: it is empty, which no encoder of ours makes")
	}
	if size > uint64(max(limit, 0)) {
		return dst, fmt.Errorf("decode frame: it holds %d bytes, the limit is %d: %w", size, limit, ErrTooLarge)
	}
	n := int(size)
	if cap(dst)-len(dst) < n {
		grown := make([]byte, len(dst), len(dst)+n)
		copy(grown, dst)
		dst = grown
	}
	out, err := d.c.expand(dst, src, n)
	if err != nil {
		return dst, fmt.Errorf("decode frame: %w", err)
	}
	if len(out) != len(dst)+n {
		return dst, fmt.Errorf("decode frame: it holds %d bytes, its header says %d", len(out)-len(dst), n)
	}
	// out is in dst's memory, but its capacity ends with the frame: a caller that appends more would have to move.
	if &out[0] == &dst[:1][0] {
		out = dst[:len(out)]
	}
	return out, nil
}

// contentSize reads it from the header of the frame in src.
func contentSize(src []byte) (uint64, error) {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return 0, fmt.Errorf("decode frame header: %w", err)
	}
	if h.Skippable || !h.HasFCS || h.DictionaryID != 0 {
		return 0, errors.New("decode frame header: not a frame with a content size and without a dictionary")
	}
	return h.FrameContentSize, nil
}

// NewReader reads frames, one after the other, as one stream.
func NewReader(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("read frames: %w", err)
	}
	return d.IOReadCloser(), nil
}
