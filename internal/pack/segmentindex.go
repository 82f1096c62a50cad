package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/backstaydb/backstay/internal/engine"
)

// The index of a segment is a version byte, one, and uvarints:
//
//	number of frames; for each: plain bytes, stored bytes (they follow each other from the start of the stream), and
//	32 bytes: the BLAKE3 digest of the stored bytes, which version zero does not have
//	tar offset of the data of marks, its length
//	number of entries; for each: a byte that says what is in it, how many bytes of its name are those of the name
//	before, how many follow, these, its size, how far its data lies behind the end of the entry before in the
//	tar, and its offset in the log file where the byte says so
const (
	entryCondensed = 1 << iota
	entryOffset
	entryKnown = 1<<iota - 1
)

// Versions of the index. The older one is read, and no longer written.
const (
	indexWithout = iota
	indexVersion
)

// span is one frame of a segment.
type span struct {
	plain  int64 // where its plain bytes begin in the tar stream
	stored int64 // where it begins in the plain bytes of the age file
}

// segmentIndex is where everything lies in a segment.
type segmentIndex struct {
	frames  []span     // one more than there are frames: the last is where they end
	digests [][32]byte // of the frames; nil where the index has none
	marks   int64      // tar offset of the marks table
	nMarks  int64      // its length
	entries []byte     // the encoded entries, checked
	count   int
}

// indexWriter builds an index. Only the encoded form of the entries is kept: a segment can have millions.
type indexWriter struct {
	entries []byte
	count   uint64
	name    string
	end     int64 // of the data of the last entry, in the tar
}

func (w *indexWriter) add(e *SegmentEntry, at int64) {
	var has byte
	if e.Condensed {
		has |= entryCondensed
	}
	if e.Offset > 0 {
		has |= entryOffset
	}
	shared := 0
	for shared < min(len(w.name), len(e.File)) && w.name[shared] == e.File[shared] {
		shared++
	}
	b := append(w.entries, has)
	b = binary.AppendUvarint(b, uint64(shared))
	b = binary.AppendUvarint(b, uint64(len(e.File)-shared))
	b = append(b, e.File[shared:]...)
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.AppendUvarint(b, uint64(at-w.end))
	if e.Offset > 0 {
		b = binary.AppendUvarint(b, uint64(e.Offset))
	}
	w.entries, w.name, w.end = b, e.File, at+e.Size
	w.count++
}

// encode gives the whole index. frames has the sizes of all frames so far.
func (w *indexWriter) encode(frames []frameSize, marks, nMarks int64) []byte {
	b := []byte{indexVersion}
	b = binary.AppendUvarint(b, uint64(len(frames)))
	for _, f := range frames {
		b = binary.AppendUvarint(b, uint64(f.plain))
		b = binary.AppendUvarint(b, uint64(f.stored))
		b = append(b, f.digest[:]...)
	}
	b = binary.AppendUvarint(b, uint64(marks))
	b = binary.AppendUvarint(b, uint64(nMarks))
	b = binary.AppendUvarint(b, w.count)
	return append(b, w.entries...)
}

// frameSize is what one frame of a segment has.
type frameSize struct {
	plain, stored int
	digest        [32]byte // of the stored bytes
}

// indexDecoder reads an index; after an error it gives zeros.
type indexDecoder struct {
	b   []byte
	err error
}

var errIndexShort = errors.New("the index ends early or has a number too large")

func (d *indexDecoder) uvarint() uint64 {
	n, k := binary.Uvarint(d.b)
	if k <= 0 {
		d.b, d.err = nil, errIndexShort
		return 0
	}
	d.b = d.b[k:]
	return n
}

// number is a uvarint of at most limit.
func (d *indexDecoder) number(limit int64) int64 {
	n := d.uvarint()
	if n > uint64(limit) {
		d.b, d.err = nil, errIndexShort
		return 0
	}
	return int64(n)
}

func (d *indexDecoder) bytes(n int64) []byte {
	if n > int64(len(d.b)) {
		d.b, d.err = nil, errIndexShort
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *indexDecoder) byte() byte {
	if p := d.bytes(1); len(p) == 1 {
		return p[0]
	}
	return 0
}

// maxTar is the longest tar stream of a segment.
const maxTar = 1 << 50

// parseIndex reads an index and checks that every entry lies inside the frames, and every frame in the stored bytes.
func parseIndex(b []byte, stored int64) (*segmentIndex, error) {
	d := &indexDecoder{b: b}
	version := d.byte()
	if version > indexVersion {
		return nil, fmt.Errorf("index has version %d, this program reads versions up to %d", version, indexVersion)
	}
	// Each frame takes two bytes at least, so a false number allocates no more than the index is long.
	n := d.number(int64(len(d.b)))
	x := &segmentIndex{frames: make([]span, 1, n+1)}
	at := span{}
	for range n {
		plain, packed := d.number(logFrameBytes), d.number(2*logFrameBytes)
		if plain == 0 || packed == 0 {
			return nil, errIndexShort
		}
		at.plain += plain
		at.stored += packed
		x.frames = append(x.frames, at)
		if version > indexWithout {
			var digest [32]byte
			copy(digest[:], d.bytes(int64(len(digest))))
			x.digests = append(x.digests, digest)
		}
	}
	if at.stored > stored {
		return nil, errors.New("a frame lies beyond the end of the segment")
	}
	x.marks = d.number(maxTar)
	x.nMarks = d.number(maxTar)
	x.count = int(d.number(int64(len(d.b))))
	if d.err != nil {
		return nil, d.err
	}
	if x.marks+x.nMarks > at.plain {
		return nil, errors.New("the marks lie beyond the end of the frames")
	}
	x.entries = d.b
	return x, x.checkEntries(at.plain)
}

func (x *segmentIndex) checkEntries(end int64) error {
	names := 0
	for e, err := range x.all(nil) {
		if err != nil {
			return err
		}
		if e.at+e.Size > end {
			return fmt.Errorf("log file %q lies beyond the end of the frames", e.name)
		}
		// A short index must not unfold into names that fill the memory.
		if names += len(e.name); names > maxNames+64*len(x.entries) {
			return errors.New("the names of its log files are too long")
		}
		if !fs.ValidPath(string(e.name)) {
			return fmt.Errorf("log file name %q leads out of its folder", e.name)
		}
	}
	return nil
}

// maxNames is how many bytes the names of a segment may have, beside 64 for each byte of the index.
const maxNames = 1 << 20

// located is a decoded entry. name is valid until the next one.
type located struct {
	engine.LogEntry // File is empty
	name            []byte
	at              int64 // of its data in the tar
}

// all decodes the entries in order; name is a buffer to use, or nil.
func (x *segmentIndex) all(name []byte) func(yield func(*located, error) bool) {
	return func(yield func(*located, error) bool) {
		d := &indexDecoder{b: x.entries}
		var e located
		end := int64(0)
		for range x.count {
			has := d.byte()
			shared := d.number(int64(len(name)))
			suffix := d.bytes(d.number(maxMarkText))
			name = append(name[:shared], suffix...)
			e = located{name: name}
			e.Size = d.number(maxTar)
			e.at = end + d.number(maxTar)
			if has&entryOffset != 0 {
				e.Offset = d.number(maxTar)
			}
			e.Condensed = has&entryCondensed != 0
			end = e.at + e.Size
			if d.err == nil && (has > entryKnown || end > maxTar) {
				d.err = errors.New("an entry makes no sense")
			}
			if d.err != nil {
				yield(nil, d.err)
				return
			}
			if !yield(&e, nil) {
				return
			}
		}
		if len(d.b) > 0 {
			yield(nil, errors.New("something follows the last entry"))
		}
	}
}

// list gives the entries and, beside them, where their data lies in the tar. All names share one piece of memory.
func (x *segmentIndex) list() ([]engine.LogEntry, []int64) {
	entries, at := make([]engine.LogEntry, 0, x.count), make([]int64, 0, x.count)
	var names []byte
	ends := make([]int, 0, x.count)
	for e, err := range x.all(nil) {
		if err != nil {
			break // checkEntries has seen them all
		}
		entries, at = append(entries, e.LogEntry), append(at, e.at)
		names = append(names, e.name...)
		ends = append(ends, len(names))
	}
	text, start := string(names), 0
	for i, end := range ends {
		entries[i].File = text[start:end]
		start = end
	}
	return entries, at
}

// frameOf is the number of the frame that holds the byte at off of the tar.
func (x *segmentIndex) frameOf(off int64) int {
	k, found := slices.BinarySearchFunc(x.frames, off, func(s span, off int64) int {
		switch {
		case s.plain < off:
			return -1
		case s.plain > off:
			return 1
		}
		return 0
	})
	if !found {
		k--
	}
	return k
}
