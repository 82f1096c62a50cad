package pack

import (
	"sync"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/zstd"
)

const (
	frameBytes    = 256 << 10 // plain bytes of a frame of a base, at most
	sparseBytes   = 128 << 10 // the same of a condensed log file, of which single pages are read
	logFrameBytes = 1 << 20   // the same of log
	blockBytes    = 1 << 20   // what one worker packs at a time
)

// block is a stretch of the tar stream on its way from a file to a pack: filled, cut into frames, digested and
// compressed by one worker, then written in order.
type block struct {
	mem   []byte // blockBytes, aligned
	plain int    // bytes of mem in use
	ends  []int  // where each frame ends in mem

	packed []byte // the frames, compressed
	stored []int  // size of each frame in packed

	fill    func(p []byte) error // reads the data into mem[:plain], on the worker; nil where it is there already
	filled  func()               // called when fill has returned
	extents []extent
	files   []*baseFile // whose last byte is in this block
	padded  int64       // bytes of extents that the reader did not give

	err  error
	done chan struct{} // of submit: receives once when packed
}

// extent is a piece of a file in a frame.
type extent struct {
	file   *baseFile
	offset int64 // in the file
	frame  int   // of the block
	in     int   // offset in the frame
	size   int
	digest [32]byte
}

var blocks = sync.Pool{New: func() any {
	return &block{
		mem:    directio.Block(blockBytes),
		packed: make([]byte, 0, blockBytes/frameBytes*zstd.Bound(frameBytes)),
	}
}}

func newBlock() *block { return blocks.Get().(*block) }

// release makes b empty and keeps its memory for the next one.
func (b *block) release() {
	clear(b.extents)
	clear(b.files)
	*b = block{mem: b.mem, ends: b.ends[:0], packed: b.packed[:0], stored: b.stored[:0],
		extents: b.extents[:0], files: b.files[:0]}
	blocks.Put(b)
}

// frameStart is where the frame that is being filled begins.
func (b *block) frameStart() int {
	if len(b.ends) == 0 {
		return 0
	}
	return b.ends[len(b.ends)-1]
}

// endFrame closes the frame that is being filled, if anything is in it.
func (b *block) endFrame() {
	if b.plain > b.frameStart() {
		b.ends = append(b.ends, b.plain)
	}
}

// cut makes frames of size bytes of all that is in b.
func (b *block) cut(size int) {
	for at := size; at < b.plain; at += size {
		b.ends = append(b.ends, at)
	}
	b.ends = append(b.ends, b.plain)
}

// append copies as much of p as there is room for and returns how much that was.
func (b *block) append(p []byte) int {
	n := copy(b.mem[b.plain:], p)
	b.plain += n
	return n
}
