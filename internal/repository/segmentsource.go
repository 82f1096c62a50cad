package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/pack"
)

const (
	inMemory  = 1 << 20  // segments up to that size are held in memory
	heldBytes = 64 << 10 // of a larger one in a folder: more than its age header and nonce
)

// listedSource gives the bytes of a segment as the store has them now. They are to be compared by the digests that its index has.
func (r *Repository) listedSource(o Object) pack.Source {
	name := r.object(o.Name)
	return pack.Source{Name: name, Size: o.Size, Open: func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		body, err := r.store.Open(ctx, name, off, n)
		if err != nil {
			return nil, missing(name, err)
		}
		return body, nil
	}}
}

// verifiedSource gives the bytes of a segment that was compared with the ledger as a whole before.
//
// A small one is held in memory, and one from a store over a network in a temporary file. A large one in a folder is
// read twice: once to compare it, then where its content is wanted. What is read the second time is still bound to
// what was compared: the age header of the first time is used, and without its key, which is not in the store,
// nobody can make a chunk that passes.
func (r *Repository) verifiedSource(ctx context.Context, o Object) (pack.Source, io.Closer, error) {
	name := r.object(o.Name)
	src := pack.Source{Name: name, Size: o.Size}
	if o.Size <= inMemory {
		data, err := r.readListed(ctx, o)
		src.Open = held(data, nil)
		return src, io.NopCloser(nil), err
	}
	if !r.store.Properties().Local {
		f, err := r.download(ctx, o)
		if err != nil {
			return src, nil, err
		}
		src.Open = func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			if n < 0 {
				n = o.Size
			}
			return io.NopCloser(io.NewSectionReader(f, off, n)), nil
		}
		return src, f, nil
	}
	head := &prefix{limit: heldBytes}
	body, err := r.store.Open(ctx, name, 0, o.Size+1)
	if err != nil {
		return src, nil, missing(name, err)
	}
	_, err = io.Copy(head, expect(body, name, o.Size, o.SHA256))
	if err = errors.Join(err, body.Close()); err != nil {
		return src, nil, fmt.Errorf("read %s: %w", name, err)
	}
	if _, err := age.ExtractHeader(bytes.NewReader(head.data[:len(head.data)-nonceBytes])); err != nil {
		return src, nil, &CorruptError{Object: name, Detail: fmt.Sprintf("its age header does not end within %d bytes", heldBytes), Err: err}
	}
	src.Open = held(head.data, func(ctx context.Context, off, n int64) (io.ReadCloser, error) { return r.store.Open(ctx, name, off, n) })
	return src, io.NopCloser(nil), nil
}

// nonceBytes is what follows an age header before the first chunk.
const nonceBytes = 16

// held serves ranges from data, and what lies behind it from rest; a nil rest has nothing.
func held(data []byte, rest func(ctx context.Context, off, n int64) (io.ReadCloser, error)) func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	return func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		have := data[min(off, int64(len(data))):]
		if n >= 0 && n <= int64(len(have)) || rest == nil {
			if n >= 0 {
				have = have[:min(n, int64(len(have)))]
			}
			return io.NopCloser(bytes.NewReader(have)), nil
		}
		if n >= 0 {
			n -= int64(len(have))
		}
		body, err := rest(ctx, off+int64(len(have)), n)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(have), body), body}, nil
	}
}

// prefix keeps the first bytes that are written to it.
type prefix struct {
	limit int
	data  []byte
}

func (p *prefix) Write(b []byte) (int, error) {
	if room := p.limit - len(p.data); room > 0 {
		p.data = append(p.data, b[:min(room, len(b))]...)
	}
	return len(b), nil
}

// tempFile is removed when it is closed, and at once where an open file can be.
type tempFile struct{ *os.File }

func newTempFile() (tempFile, error) {
	f, err := os.CreateTemp("", "backstay-segment-")
	if err == nil {
		_ = os.Remove(f.Name()) // Windows refuses; Close does it then
	}
	return tempFile{f}, err
}

func (t tempFile) Close() error {
	err := t.File.Close()
	if gone := os.Remove(t.Name()); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// download copies an object to a temporary file and compares it on the way. The file holds ciphertext.
func (r *Repository) download(ctx context.Context, o Object) (tempFile, error) {
	name := r.object(o.Name)
	body, err := r.store.Open(ctx, name, 0, o.Size+1)
	if err != nil {
		return tempFile{}, missing(name, err)
	}
	defer body.Close()
	f, err := newTempFile()
	if err != nil {
		return tempFile{}, fmt.Errorf("read %s: %w", name, err)
	}
	if _, err := io.Copy(f, expect(body, name, o.Size, o.SHA256)); err != nil {
		return tempFile{}, errors.Join(fmt.Errorf("read %s: %w", name, err), f.Close())
	}
	return f, nil
}
