package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/zstd"
)

// maxIndex is the largest index that is read, in plain bytes: some ten million log files.
const maxIndex = 256 << 20

// SegmentReader reads one segment; it is an engine.LogSegment and safe for concurrent use. Reading entries in order
// is the fast way: frames ahead are then fetched with one request and decoded in parallel.
type SegmentReader struct {
	u       *unsealer
	index   *segmentIndex
	entries []engine.LogEntry
	at      []int64 // of the data of each entry, in the tar
	place   map[entryKey]int
	frames  *frameCache
}

var _ engine.LogSegment = (*SegmentReader)(nil)

// entryKey tells entries apart.
type entryKey struct {
	file      string
	offset    int64
	condensed bool
}

// OpenSegment reads the header and the index of a segment: two small requests. If ref has a digest, the index is compared
// with it, and each frame that is read later with what the index says of it.
func OpenSegment(ctx context.Context, src Source, ref IndexRef, identities []age.Identity) (*SegmentReader, error) {
	u, err := openUnsealer(ctx, src, identities)
	if err != nil {
		return nil, err
	}
	index, err := readIndex(ctx, u, ref)
	if err != nil {
		return nil, err
	}
	r := &SegmentReader{u: u, index: index, frames: newFrameCache(u, index)}
	r.entries, r.at = index.list()
	for i, e := range r.entries {
		if e.Condensed && e.Size > 0 {
			r.frames.edge = index.frameOf(r.at[i]+e.Size-1) + 1
		}
	}
	return r, nil
}

func readIndex(ctx context.Context, u *unsealer, ref IndexRef) (*segmentIndex, error) {
	if ref.Length > maxIndex {
		return nil, corrupt(u.src.Name, nil, "its index has %d bytes", ref.Length)
	}
	packed, err := readPacked(ctx, u, ref)
	if err != nil {
		return nil, err
	}
	text, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	defer text.Close()
	b, err := io.ReadAll(io.LimitReader(text, maxIndex+1))
	if err != nil {
		return nil, asCorrupt(ctx, u.src.Name, err, "its index cannot be read")
	}
	if len(b) > maxIndex {
		return nil, corrupt(u.src.Name, nil, "its index has more than %d bytes", maxIndex)
	}
	index, err := parseIndex(b, u.plain)
	if err != nil {
		return nil, corrupt(u.src.Name, err, "its index makes no sense")
	}
	if ref.SHA256 != "" && index.digests == nil {
		return nil, corrupt(u.src.Name, nil, "its index has no digests of its frames")
	}
	return index, nil
}

// readPacked reads the frames that hold the index.
func readPacked(ctx context.Context, u *unsealer, ref IndexRef) ([]byte, error) {
	in, err := u.open(ctx, ref.Offset, ref.Length)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	packed, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(packed)); ref.SHA256 != "" && got != ref.SHA256 {
		return nil, &CorruptError{Object: u.src.Name, Detail: "its index has another digest", Want: ref.SHA256, Got: got}
	}
	return packed, nil
}

// asCorrupt makes damage of what a decoder says, and leaves alone what is damage already or is the store's.
func asCorrupt(ctx context.Context, object string, err error, detail string) error {
	var known *CorruptError
	var path *fs.PathError
	if errors.As(err, &known) || errors.As(err, &path) || ctx.Err() != nil {
		return err
	}
	return corrupt(object, err, "%s", detail)
}

// Entries lists the log files in order. The slice is the reader's own.
func (r *SegmentReader) Entries() []engine.LogEntry { return r.entries }

// Read gives the bytes of one entry. The reader is an *EntryReader, so any part of the entry can be read too. ctx is
// for all reads from it.
func (r *SegmentReader) Read(ctx context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	return r.Open(ctx, e)
}

// Open is Read with the type of what it returns.
func (r *SegmentReader) Open(ctx context.Context, e engine.LogEntry) (*EntryReader, error) {
	i, ok := r.find(e)
	if !ok {
		return nil, fmt.Errorf("read %s: log file %s at %d: %w", r.u.src.Name, e.File, e.Offset, fs.ErrNotExist)
	}
	return &EntryReader{r: r, ctx: ctx, at: r.at[i], size: r.entries[i].Size}, nil
}

// find looks entries up; one who reads them in order is served without a table.
func (r *SegmentReader) find(e engine.LogEntry) (int, bool) {
	f := r.frames
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range []int{f.lastEntry + 1, f.lastEntry, 0} {
		if i >= 0 && i < len(r.entries) && r.entries[i] == e {
			f.lastEntry = i
			return i, true
		}
	}
	if r.place == nil {
		r.place = make(map[entryKey]int, len(r.entries))
		for i, e := range r.entries {
			r.place[entryKey{e.File, e.Offset, e.Condensed}] = i
		}
	}
	i, ok := r.place[entryKey{e.File, e.Offset, e.Condensed}]
	if ok {
		f.lastEntry = i
	}
	return i, ok
}

// Marks gives the commits in the segment in order.
func (r *SegmentReader) Marks(ctx context.Context) iter.Seq2[history.Mark, error] {
	in := &EntryReader{r: r, ctx: ctx, at: r.index.marks, size: r.index.nMarks}
	return func(yield func(history.Mark, error) bool) {
		in.off = 0
		for m, err := range decodeMarks(in) {
			if err != nil {
				err = asCorrupt(ctx, r.u.src.Name, err, "its marks cannot be read")
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Close gives up what is being fetched and waits for it.
func (r *SegmentReader) Close() error {
	r.frames.close()
	return nil
}

// EntryReader reads one entry of a segment, in order and at any place. Read is for one goroutine, ReadAt for many.
type EntryReader struct {
	r    *SegmentReader
	ctx  context.Context // of Open: io.Reader has none of its own
	at   int64           // in the tar
	size int64
	off  int64
}

// Size is the size of the entry.
func (e *EntryReader) Size() int64 { return e.size }

// Read reads on.
func (e *EntryReader) Read(p []byte) (int, error) {
	if e.off >= e.size {
		return 0, io.EOF
	}
	n, err := e.some(p, e.off)
	e.off += int64(n)
	return n, err
}

// WriteTo writes what is left to w without a copy in between.
func (e *EntryReader) WriteTo(w io.Writer) (int64, error) {
	start := e.off
	for e.off < e.size {
		p, err := e.piece(e.off)
		if err != nil {
			return e.off - start, err
		}
		n, err := w.Write(p)
		e.off += int64(n)
		if err != nil {
			return e.off - start, err
		}
	}
	return e.off - start, nil
}

// ReadAt is io.ReaderAt.
func (e *EntryReader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	for n < len(p) && off < e.size {
		m, err := e.some(p[n:], off)
		n += m
		off += int64(m)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// some reads what one frame has of p at off, which is inside the entry.
func (e *EntryReader) some(p []byte, off int64) (int, error) {
	b, err := e.piece(off)
	if err != nil {
		return 0, err
	}
	return copy(p, b), nil
}

// piece gives what one frame has of the entry from off on.
func (e *EntryReader) piece(off int64) ([]byte, error) {
	k := e.r.index.frameOf(e.at + off)
	frame, err := e.r.frames.get(e.ctx, k)
	if err != nil {
		return nil, err
	}
	in := e.at + off - e.r.index.frames[k].plain
	return frame[in:min(int64(len(frame)), in+e.size-off)], nil
}

// Close does nothing: the segment keeps what was fetched.
func (e *EntryReader) Close() error { return nil }
