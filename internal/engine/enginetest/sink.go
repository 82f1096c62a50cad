package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/backstaydb/backstay/internal/engine"
)

// Sink keeps a base in memory. The zero value is ready for use.
type Sink struct {
	Files []engine.File
	Data  map[string][]byte

	// Err, if set, is what Put returns once After bytes were read.
	Err   error
	After int64
}

// Put reads files that are io.ReaderAt with two workers in aligned blocks, as a repository does.
func (s *Sink) Put(ctx context.Context, f engine.File, r io.Reader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	s.Files = append(s.Files, f)
	if r == nil {
		return nil
	}
	at, ok := r.(io.ReaderAt)
	if !ok {
		b, err := io.ReadAll(io.LimitReader(r, f.Size))
		s.Data[f.Name] = append(b, make([]byte, f.Size-int64(len(b)))...)
		return err
	}
	data := make([]byte, f.Size)
	s.Data[f.Name] = data
	return s.readAt(ctx, data, at)
}

const block = 128 << 10

func (s *Sink) readAt(ctx context.Context, data []byte, r io.ReaderAt) error {
	errs := make(chan error, 2)
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for off := w * block; off < len(data); off += 2 * block {
				if s.Err != nil && int64(off) >= s.After {
					errs <- s.Err
					return
				}
				if ctx.Err() != nil {
					errs <- ctx.Err()
					return
				}
				b := data[off:min(off+block, len(data))]
				if n, err := r.ReadAt(b, int64(off)); err != nil && (err != io.EOF || n < len(b)) {
					errs <- fmt.Errorf("read at %d: %w", off, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if s.Err != nil && len(data) == 0 {
		return s.Err
	}
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// Lay writes the base into dir as a restore does.
func (s *Sink) Lay(dir string) error {
	for _, f := range s.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		var err error
		switch {
		case f.Mode.IsDir():
			err = os.MkdirAll(path, f.Mode.Perm()|0o700)
		case f.Mode&fs.ModeSymlink != 0:
			err = os.Symlink(f.Link, path)
		default:
			if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
				err = os.WriteFile(path, bytes.Clone(s.Data[f.Name]), f.Mode.Perm()|0o600)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
