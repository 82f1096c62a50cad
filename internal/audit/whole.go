package audit

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// isDamage reports whether an error says that objects are not as they were written, and not that a store fails.
func isDamage(err error) bool {
	var corrupt *ledger.CorruptError
	var untrusted *ledger.UntrustedError
	return errors.As(err, &corrupt) || errors.As(err, &untrusted)
}

// whole verifies every object of a copy: each volume as a ledger, and each object against the one here of the same name.
func (x *verifier) whole(ctx context.Context, s store.Store) error {
	there, err := listing(ctx, s, x.l.c.Name)
	if err != nil {
		return err
	}
	here, err := listing(ctx, x.l.c.Store, x.l.c.Name)
	if err != nil {
		return err
	}
	y := &verifier{l: x.l, copy: s.String()}
	newest := newestOf(there)
	for n := range newest + 1 {
		if there[n] == nil {
			y.add(prefix(x.l.c.Name, n), Removed, "the volume is missing, but later ones stand")
			continue
		}
		if err := y.copiedVolume(ctx, s, n, there[n], n < newest); err != nil {
			return err
		}
		if x.bad[n] {
			continue // what is here cannot speak against the copy
		}
		if err := y.same(ctx, s, n, here[n], there[n]); err != nil {
			return err
		}
	}
	x.v.Problems = append(x.v.Problems, y.v.Problems...)
	x.v.Unfinished = append(x.v.Unfinished, y.v.Unfinished...)
	return nil
}

// copiedVolume verifies a volume of a copy by itself. One without a checkpoint, at the end, was interrupted while it was copied.
func (x *verifier) copiedVolume(ctx context.Context, s store.Store, n int, there contents, followed bool) error {
	if len(there.checkpoints()) == 0 && !followed {
		for name := range there {
			x.v.Unfinished = append(x.v.Unfinished, prefix(x.l.c.Name, n)+"/"+name)
		}
		return nil
	}
	v, err := x.l.volumeIn(s, n, nil, nil, keepIDs)
	if err != nil {
		return err
	}
	head, err := v.log.Head(ctx)
	if x.fault(n, err) {
		return nil
	}
	if err != nil {
		return err
	}
	bad, err := v.log.Audit(ctx)
	if err != nil && !x.fault(n, err) {
		return err
	}
	for _, i := range bad {
		x.ignored(i, head)
	}
	return nil
}

// same compares the objects that stand under one name here and there, byte for byte.
func (x *verifier) same(ctx context.Context, s store.Store, n int, here, there contents) error {
	for _, rest := range slices.Sorted(maps.Keys(there)) {
		name := prefix(x.l.c.Name, n) + "/" + rest
		if _, stands := here[rest]; !stands || slices.ContainsFunc(x.v.Problems, func(p Problem) bool { return p.Object == name }) {
			continue
		}
		equal, err := sameObject(ctx, x.l.c.Store, s, name)
		if err != nil {
			return err
		}
		if !equal {
			x.add(name, Altered, "it is not the object that stands here under this name")
		}
	}
	return nil
}

// sameObject reports whether two stores hold the same object. One that went meanwhile, as an old checkpoint does, is not another.
func sameObject(ctx context.Context, a, b store.Store, name string) (bool, error) {
	one, err := store.ReadAll(ctx, a, name, maxObject)
	if err == nil {
		var other []byte
		if other, err = store.ReadAll(ctx, b, name, maxObject); err == nil {
			return bytes.Equal(one, other), nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}
