package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"

	"github.com/backstaydb/backstay/internal/store"
)

// probe is the store under test and the prefix that belongs to one step alone.
type probe struct {
	store.Store
	below string
}

func (p probe) name(n string) string { return p.below + "/" + n }

func (p probe) put(ctx context.Context, name string, data []byte) error {
	return p.Put(ctx, p.name(name), bytes.NewReader(data), int64(len(data)))
}

// holds returns an error unless the object has exactly want, read as a whole and described by Stat.
func (p probe) holds(ctx context.Context, name string, want []byte) error {
	if err := p.reads(ctx, name, 0, -1, want); err != nil {
		return err
	}
	o, err := p.Stat(ctx, p.name(name))
	if err != nil {
		return err
	}
	if o.Name != p.name(name) || o.Size != int64(len(want)) || o.Created.IsZero() {
		return fmt.Errorf("stat gives %+v for an object of %d bytes", o, len(want))
	}
	return nil
}

// reads returns an error unless the range of the object is want.
func (p probe) reads(ctx context.Context, name string, offset, length int64, want []byte) error {
	r, err := p.Open(ctx, p.name(name), offset, length)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read %d bytes from %d: %w", length, offset, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("read %d bytes from %d: %d bytes came that are not the %d stored", length, offset, len(got), len(want))
	}
	return nil
}

// absent returns an error unless nothing stands under name, seen by every way of looking.
func (p probe) absent(ctx context.Context, name string) error {
	_, err := p.Stat(ctx, p.name(name))
	if err := wants(fs.ErrNotExist, "stat", err); err != nil {
		return err
	}
	r, err := p.Open(ctx, p.name(name), 0, -1)
	if err == nil {
		err = r.Close()
	}
	if err := wants(fs.ErrNotExist, "open", err); err != nil {
		return err
	}
	return p.List(ctx, p.name(name), func(o store.Object) error {
		if o.Name == p.name(name) {
			return errors.New("list shows an object that must not be there")
		}
		return nil
	})
}

// wants returns an error unless got is want.
func wants(want error, op string, got error) error {
	if errors.Is(got, want) {
		return nil
	}
	if got == nil {
		return fmt.Errorf("%s succeeded, where %q was due", op, want)
	}
	return fmt.Errorf("%s: %w, where %q was due", op, got, want)
}

// noise returns n bytes that no compression shortens, the same for the same seed.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // It never fails.
	return b
}
