package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/store"
)

func compareNames(a, b string) int { return strings.Compare(a, b) }

// digest returns the size of b and its SHA-256 in hex.
func digest(b []byte) (int64, string) {
	sum := sha256.Sum256(b)
	return int64(len(b)), hex.EncodeToString(sum[:])
}

func putBytes(ctx context.Context, s store.Store, name string, b []byte) error {
	return s.Put(ctx, name, bytes.NewReader(b), int64(len(b)))
}

// expecting gives what r gives and, at its end, a *CorruptError unless that was size bytes with the right sum. So a
// Put of it stores nothing if the bytes are not right.
type expecting struct {
	r      io.Reader
	object string
	size   int64
	what   string // is summed up
	sum    string // in hex
	hash   hash.Hash
	read   int64
}

// expect compares with a digest that the ledger lists.
func expect(r io.Reader, object string, size int64, sum string) *expecting {
	return &expecting{r: r, object: object, size: size, what: "SHA-256", sum: sum, hash: sha256.New()}
}

// expectSealed compares what comes from this host with what its sealer wrote. The sealer has digested it, and what may have
// happened since is an accident of a disk: the CRC-32C finds that for a twentieth of the time.
func expectSealed(r io.Reader, object string, s pack.Sealed) *expecting {
	e := expect(r, object, s.Size, s.SHA256)
	if s.CRC32C != "" {
		e.what, e.sum, e.hash = "CRC-32C", s.CRC32C, crc32.New(pack.Castagnoli)
	}
	return e
}

func (e *expecting) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.hash.Write(p[:n])
	e.read += int64(n)
	if err == io.EOF || e.read > e.size {
		if wrong := e.verdict(); wrong != nil {
			return n, wrong
		}
	}
	return n, err
}

func (e *expecting) verdict() error {
	if e.read != e.size {
		return &CorruptError{Object: e.object, Detail: "wrong size", Want: fmt.Sprint(e.size), Got: fmt.Sprint(e.read)}
	}
	if got := hex.EncodeToString(e.hash.Sum(nil)); got != e.sum {
		return &CorruptError{Object: e.object, Detail: "wrong " + e.what, Want: e.sum, Got: got}
	}
	return nil
}

// missing is the error for an object that is listed and cannot be opened.
func missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &CorruptError{Object: name, Detail: "it is missing", Err: err}
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// readListed reads a whole small object that must be as the ledger lists it.
func (r *Repository) readListed(ctx context.Context, o Object) ([]byte, error) {
	name := r.object(o.Name)
	body, err := r.store.Open(ctx, name, 0, o.Size+1)
	if err != nil {
		return nil, missing(name, err)
	}
	defer body.Close()
	b, err := io.ReadAll(expect(body, name, o.Size, o.SHA256))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// ensure puts an object that compare finds right, or finds it there as it must be.
func (r *Repository) ensure(ctx context.Context, o Object, open func() (io.ReadCloser, error), compare func(body io.Reader, object string) *expecting) error {
	full := r.object(o.Name)
	for tries := 0; ; tries++ {
		err := r.putNew(ctx, o, open, compare)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A try before this one, or the store's own, was not heard of; or somebody took the name.
		err = r.hashListed(ctx, o, nil)
		if errors.Is(err, fs.ErrNotExist) && tries < maxTries {
			continue // it was swept away between the two calls, as a leftover
		}
		if err != nil {
			return fmt.Errorf("put %s: another object stands there: %w", full, err)
		}
		return nil
	}
}

// maxTries bounds how often an object is put again that was there and then was not.
const maxTries = 3

func (r *Repository) putNew(ctx context.Context, o Object, open func() (io.ReadCloser, error), compare func(body io.Reader, object string) *expecting) error {
	full := r.object(o.Name)
	body, err := open()
	if err != nil {
		return fmt.Errorf("put %s: %w", full, err)
	}
	defer body.Close()
	return r.store.Put(ctx, full, compare(body, full), o.Size)
}

// hashListed reads a whole object and compares it with what the ledger lists. count is told the bytes as they come.
func (r *Repository) hashListed(ctx context.Context, o Object, count func(int64)) error {
	name := r.object(o.Name)
	body, err := r.store.Open(ctx, name, 0, o.Size+1)
	if err != nil {
		return missing(name, err)
	}
	defer body.Close()
	_, err = io.Copy(counter{count}, expect(body, name, o.Size, o.SHA256))
	return err
}

type counter struct{ count func(int64) }

func (c counter) Write(p []byte) (int, error) {
	if c.count != nil {
		c.count(int64(len(p)))
	}
	return len(p), nil
}
