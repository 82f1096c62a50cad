package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/backstaydb/backstay/internal/store"
)

var failing = []Step{
	{"bad names are refused", badNames},
	{"a reader that fails midway stores nothing", brokenReader},
	{"a put cancelled midway stores nothing", cancelledPut},
	{"an ended context ends every call", endedContext},
}

func badNames(ctx context.Context, p probe) error {
	for _, name := range []string{"", ".", "..", "/abs", "a//b", "a/../b", "../up", "a/", "a\\b", "a b", "a\x00b", "ä", ".hidden", "a/.b", "a.", strings.Repeat("n", 513)} {
		if err := wants(fs.ErrInvalid, fmt.Sprintf("put %q", name), p.Put(ctx, name, bytes.NewReader(nil), 0)); err != nil {
			return err
		}
		r, err := p.Open(ctx, name, 0, -1)
		if err == nil {
			err = r.Close()
		}
		if err := wants(fs.ErrInvalid, fmt.Sprintf("open %q", name), err); err != nil {
			return err
		}
		_, err = p.Stat(ctx, name)
		if err := wants(fs.ErrInvalid, fmt.Sprintf("stat %q", name), err); err != nil {
			return err
		}
		if err := wants(fs.ErrInvalid, fmt.Sprintf("delete %q", name), p.Delete(ctx, name)); err != nil {
			return err
		}
	}
	return nil
}

func brokenReader(ctx context.Context, p probe) error {
	broken := errors.New("reader broke")
	for _, good := range []int{0, 1000, largeSize} {
		for _, size := range []int64{-1, largeSize + 1} {
			name := fmt.Sprintf("broken%d-%d", size, good)
			r := io.MultiReader(bytes.NewReader(make([]byte, good)), failingReader{broken})
			if err := wants(broken, "put", p.Put(ctx, p.name(name), r, size)); err != nil {
				return err
			}
			if err := p.absent(ctx, name); err != nil {
				return err
			}
		}
	}
	return p.put(ctx, "broken-1-0", nil)
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func cancelledPut(ctx context.Context, p probe) error {
	for _, good := range []int{0, 1000, largeSize} {
		name := fmt.Sprint("cancelled-", good)
		ending, cancel := context.WithCancel(ctx)
		r := io.MultiReader(bytes.NewReader(make([]byte, good)), cancellingReader{cancel})
		err := p.Put(ending, p.name(name), r, -1)
		cancel()
		if err := wants(context.Canceled, "put", err); err != nil {
			return err
		}
		if err := p.absent(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

type cancellingReader struct{ cancel func() }

func (c cancellingReader) Read([]byte) (int, error) { c.cancel(); return 0, io.EOF }

func endedContext(ctx context.Context, p probe) error {
	if err := p.put(ctx, "kept", []byte("kept")); err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, stat := p.Stat(ended, p.name("kept"))
	r, open := p.Open(ended, p.name("kept"), 0, -1)
	if open == nil {
		_, open = io.ReadAll(r)
		_ = r.Close()
	}
	for op, err := range map[string]error{
		"put":    p.Put(ended, p.name("new"), bytes.NewReader(nil), 0),
		"open":   open,
		"stat":   stat,
		"list":   p.List(ended, p.name(""), func(store.Object) error { return nil }),
		"delete": p.Delete(ended, p.name("kept")),
	} {
		if err := wants(context.Canceled, op, err); err != nil {
			return err
		}
	}
	if err := p.absent(ctx, "new"); err != nil {
		return err
	}
	return p.holds(ctx, "kept", []byte("kept"))
}
