package zstd

import "github.com/klauspost/compress/zstd"

// pureEncoder is the codec in Go.
type pureEncoder struct{ e *zstd.Encoder }

func newPureEncoder() pureEncoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("zstd: options do not fit each other: " + err.Error()) // they are constants
	}
	return pureEncoder{e}
}

func (p pureEncoder) append(dst, src []byte) []byte { return p.e.EncodeAll(src, dst) }

// pureDecoder is the codec in Go.
type pureDecoder struct{ d *zstd.Decoder }

func newPureDecoder() pureDecoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		panic("zstd: options do not fit each other: " + err.Error()) // they are constants
	}
	return pureDecoder{d}
}

func (p pureDecoder) expand(dst, src []byte, size int) ([]byte, error) {
	return p.d.DecodeAll(src, dst[:len(dst):len(dst)+size])
}
