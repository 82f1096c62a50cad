package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/store"
)

// listed stands in ascending order of bytes, in which "-" and "." come before "/" and "0" after it: a store that
// walks folders in their own order gives another one.
var listed = []string{"Z", "a-1", "a.1", "a/-", "a/b-c", "a/b/1", "a/b/2", "a/b0", "a/c", "a0", "a_b", "b=1/c", "c"}

var listing = []Step{
	{"a listing is complete and in order", func(ctx context.Context, p probe) error {
		if err := p.putListed(ctx); err != nil {
			return err
		}
		return p.lists(ctx, "", listed)
	}},
	{"a listing shows what has the prefix, and only that", prefixes},
	{"a listing shows puts and deletes at once", func(ctx context.Context, p probe) error {
		if err := p.putListed(ctx); err != nil {
			return err
		}
		if err := p.Delete(ctx, p.name("a/b/1")); err != nil {
			return err
		}
		if err := p.put(ctx, "a/b/3", nil); err != nil {
			return err
		}
		return p.lists(ctx, "a/b/", []string{"a/b/2", "a/b/3"})
	}},
	{"a listing ends with the visitor's error", func(ctx context.Context, p probe) error {
		if err := p.putListed(ctx); err != nil {
			return err
		}
		enough, visits := errors.New("enough"), 0
		err := p.List(ctx, p.name(""), func(store.Object) error { visits++; return enough })
		if visits != 1 {
			return fmt.Errorf("%d visits after an error at the first", visits)
		}
		return wants(enough, "list", err)
	}},
	{"a listing tells sizes", func(ctx context.Context, p probe) error {
		if err := p.put(ctx, "sized", noise(9, 777)); err != nil {
			return err
		}
		return p.List(ctx, p.name(""), func(o store.Object) error {
			if o.Size != 777 || o.Created.IsZero() {
				return fmt.Errorf("list gives %+v for an object of 777 bytes", o)
			}
			return nil
		})
	}},
}

func prefixes(ctx context.Context, p probe) error {
	if err := p.putListed(ctx); err != nil {
		return err
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "a/b/1", "a-", "b=1", "c", "x", "a/x", "a/b/1/x", "Z/"} {
		var want []string
		for _, name := range listed {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		if err := p.lists(ctx, prefix, want); err != nil {
			return fmt.Errorf("prefix %q: %w", prefix, err)
		}
	}
	return nil
}

// putListed stores the names backwards, so that no order of arrival looks right by chance.
func (p probe) putListed(ctx context.Context) error {
	for _, name := range slices.Backward(listed) {
		if err := p.put(ctx, name, []byte(name)); err != nil {
			return err
		}
	}
	return nil
}

func (p probe) lists(ctx context.Context, prefix string, want []string) error {
	var got []string
	err := p.List(ctx, p.name(prefix), func(o store.Object) error {
		got = append(got, strings.TrimPrefix(o.Name, p.name("")))
		return nil
	})
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("list gives %q, where %q was due", got, want)
	}
	return nil
}
