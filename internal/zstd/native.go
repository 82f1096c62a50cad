//go:build cgo && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package zstd

import (
	"fmt"

	"github.com/valyala/gozstd"
)

// Native reports whether libzstd is linked in.
const Native = true

// level is libzstd's own number for its fastest regular level.
const level = 1

// nativeEncoder is libzstd; the library keeps contexts in a pool of its own.
type nativeEncoder struct{}

func (nativeEncoder) append(dst, src []byte) []byte { return gozstd.CompressLevel(dst, src, level) }

// nativeDecoder is libzstd.
type nativeDecoder struct{}

func (nativeDecoder) expand(dst, src []byte, size int) (out []byte, err error) {
	// The binding sizes its second attempt from the headers of further frames in src, which may lie; it then slices
	// out of range.
	defer func() {
		if r := recover(); r != nil {
			out, err = dst, fmt.Errorf("frame is damaged: %v", r)
		}
	}()
	return gozstd.DecompressLimited(dst[:len(dst):len(dst)+size], src, size)
}

func newEncoder() encoder { return nativeEncoder{} }
func newDecoder() decoder { return nativeDecoder{} }
