package pack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/zstd"
)

// BaseReader reads one base. It is safe for concurrent use.
type BaseReader struct {
	contents   Contents
	open       Open
	identities []age.Identity
	key        [32]byte
	files      []*baseFile
	byName     map[string]*baseFile

	mu    sync.Mutex
	packs map[int]*unsealer // opened so far, by number
}

// sealedName is what errors call the sealed part of a manifest.
const sealedName = "sealed file list"

// OpenBase opens a base from what Finish returned. Its maps and packs are read when they are needed.
func OpenBase(ctx context.Context, c Contents, open Open, identities []age.Identity) (*BaseReader, error) {
	r := &BaseReader{contents: c, open: open, identities: identities, packs: map[int]*unsealer{}, byName: map[string]*baseFile{}}
	src := Source{Name: sealedName, Size: int64(len(c.Sealed)), Open: func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(c.Sealed), off, n)), nil
	}}
	first := true
	for line, err := range r.lines(ctx, src) {
		if err == nil && first {
			err = r.readListLine(line)
			first = false
		} else if err == nil {
			err = r.readFileLine(line)
		}
		if err != nil {
			return nil, err
		}
	}
	if first || len(r.files) != c.Files {
		return nil, &CorruptError{Object: sealedName, Detail: "number of files", Want: fmt.Sprint(c.Files), Got: fmt.Sprint(len(r.files))}
	}
	return r, nil
}

func (r *BaseReader) readListLine(line []byte) error {
	var l listLine
	if err := json.Unmarshal(line, &l); err != nil {
		return corrupt(sealedName, err, "its first line cannot be read")
	}
	if l.Format != 0 {
		return fmt.Errorf("open base: it has format %d, this program reads format 0", l.Format)
	}
	if len(l.DigestKey) != len(r.key) {
		return corrupt(sealedName, nil, "the digest key has %d bytes", len(l.DigestKey))
	}
	copy(r.key[:], l.DigestKey)
	return nil
}

func (r *BaseReader) readFileLine(line []byte) error {
	f, err := parseFile(line)
	if err != nil {
		return corrupt(sealedName, err, "line of file %d cannot be read", len(r.files))
	}
	if f.Map > len(r.contents.Maps) {
		return corrupt(sealedName, nil, "file %q is in map %d of %d", f.Name, f.Map, len(r.contents.Maps))
	}
	f.index = len(r.files)
	r.files = append(r.files, f)
	r.byName[f.Name] = f
	return nil
}

// Files lists what the base holds, in the order in which it was stored.
func (r *BaseReader) Files() []engine.File {
	out := make([]engine.File, len(r.files))
	for i, f := range r.files {
		out[i] = f.File
	}
	return out
}

// Padded tells how many bytes at the end of the file are zeros because they could not be read when it was stored.
func (r *BaseReader) Padded(name string) int64 {
	if f := r.byName[name]; f != nil {
		return f.Padded
	}
	return 0
}

// maxLine is the longest line of a map or list that is read, in bytes.
const maxLine = 1 << 20

// lines reads the lines of an age file of compressed text. The slices are valid until the next one.
func (r *BaseReader) lines(ctx context.Context, src Source) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		u, err := openUnsealer(ctx, src, r.identities)
		if err != nil {
			yield(nil, err)
			return
		}
		if u.plain == 0 {
			return
		}
		sealed, err := u.open(ctx, 0, u.plain)
		if err != nil {
			yield(nil, err)
			return
		}
		defer sealed.Close()
		text, err := zstd.NewReader(bufio.NewReaderSize(sealed, chunkBytes))
		if err != nil {
			yield(nil, err)
			return
		}
		defer text.Close()
		scan := bufio.NewScanner(text)
		scan.Buffer(make([]byte, 64<<10), maxLine)
		for scan.Scan() {
			if !yield(scan.Bytes(), nil) {
				return
			}
		}
		if err := scan.Err(); err != nil {
			var known *CorruptError
			if !errors.As(err, &known) && ctx.Err() == nil {
				err = corrupt(src.Name, err, "its lines cannot be read")
			}
			yield(nil, err)
		}
	}
}

func (r *BaseReader) source(p Part) Source {
	return Source{Name: p.Name, Size: p.Size, Open: func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		return r.open(ctx, p.Name, off, n)
	}}
}

// runs reads maps in order.
func (r *BaseReader) runs(ctx context.Context, maps []Part) iter.Seq2[*run, error] {
	return func(yield func(*run, error) bool) {
		for _, part := range maps {
			for line, err := range r.lines(ctx, r.source(part)) {
				var parsed *run
				if err == nil {
					if parsed, err = parseRun(line, r.files, len(r.contents.Packs)); err != nil {
						err = corrupt(part.Name, err, "a line cannot be read")
					}
				}
				if !yield(parsed, err) || err != nil {
					return
				}
			}
		}
	}
}

// pack opens the pack with that number, once.
func (r *BaseReader) pack(ctx context.Context, number int) (*unsealer, error) {
	r.mu.Lock()
	u := r.packs[number]
	r.mu.Unlock()
	if u != nil {
		return u, nil
	}
	u, err := openUnsealer(ctx, r.source(r.contents.Packs[number-1]), r.identities)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.packs[number] = u
	r.mu.Unlock()
	return u, nil
}
