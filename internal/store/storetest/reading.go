package storetest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

var reading = []Step{
	{"any range can be read, also beyond the end", ranges},
	{"a bad range is refused", badRanges},
	{"many can read at once", readers},
	{"a reader can be closed early", func(ctx context.Context, p probe) error {
		if err := p.put(ctx, "early", noise(6, 1<<20)); err != nil {
			return err
		}
		r, err := p.Open(ctx, p.name("early"), 0, -1)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
			return err
		}
		return r.Close()
	}},
}

func ranges(ctx context.Context, p probe) error {
	data := noise(7, 10_000)
	if err := p.put(ctx, "ranges", data); err != nil {
		return err
	}
	if err := p.put(ctx, "empty", nil); err != nil {
		return err
	}
	size := int64(len(data))
	for _, c := range []struct{ offset, length, from, to int64 }{
		{0, -1, 0, size}, {0, size, 0, size}, {0, 1, 0, 1}, {0, 0, 0, 0}, {5000, 0, 0, 0},
		{4096, 4096, 4096, 8192}, {9999, 1, 9999, size}, {9999, -1, 9999, size}, {1, -1, 1, size},
		{9000, 5000, 9000, size}, {0, 1 << 40, 0, size},
		{size, -1, 0, 0}, {size, 1, 0, 0}, {size + 1, -1, 0, 0}, {1 << 40, 10, 0, 0},
	} {
		if err := p.reads(ctx, "ranges", c.offset, c.length, data[c.from:c.to]); err != nil {
			return err
		}
		if err := p.reads(ctx, "empty", c.offset, c.length, nil); err != nil {
			return fmt.Errorf("empty object: %w", err)
		}
	}
	return nil
}

func badRanges(ctx context.Context, p probe) error {
	if err := p.put(ctx, "object", []byte("object")); err != nil {
		return err
	}
	for _, c := range []struct{ offset, length int64 }{{-1, 1}, {0, -2}, {-1, -1}} {
		r, err := p.Open(ctx, p.name("object"), c.offset, c.length)
		if err == nil {
			err = r.Close()
		}
		if err := wants(fs.ErrInvalid, fmt.Sprintf("open %d bytes from %d", c.length, c.offset), err); err != nil {
			return err
		}
	}
	// Of nothing there is no range either, not even an empty one.
	_, err := p.Open(ctx, p.name("absent"), 0, 0)
	return wants(fs.ErrNotExist, "open", err)
}

func readers(ctx context.Context, p probe) error {
	data := noise(8, 200_000)
	if err := p.put(ctx, "shared", data); err != nil {
		return err
	}
	results := make([]error, 8)
	var group sync.WaitGroup
	for i := range results {
		from := i * 20_000
		group.Go(func() { results[i] = p.reads(ctx, "shared", int64(from), 50_000, data[from:from+50_000]) })
	}
	group.Wait()
	for _, err := range results {
		if err != nil {
			return err
		}
	}
	return nil
}
