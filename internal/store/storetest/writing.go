package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
)

// largeSize needs several requests of a store that stores in parts, and ends in the middle of one.
const largeSize = 20<<20 + 12345

var writing = []Step{
	{"what was put can be read", func(ctx context.Context, p probe) error {
		return roundTrip(ctx, p, noise(1, 100_000))
	}},
	{"an empty object can be stored", func(ctx context.Context, p probe) error {
		return roundTrip(ctx, p, nil)
	}},
	{"a large object can be stored", func(ctx context.Context, p probe) error {
		return roundTrip(ctx, p, noise(2, largeSize))
	}},
	{"objects of unknown size can be stored", func(ctx context.Context, p probe) error {
		for i, data := range [][]byte{nil, noise(3, 1000), noise(4, largeSize)} {
			name := fmt.Sprint("unknown-", i)
			if err := p.Put(ctx, p.name(name), bytes.NewReader(data), -1); err != nil {
				return err
			}
			if err := p.holds(ctx, name, data); err != nil {
				return err
			}
		}
		return nil
	}},
	{"a taken name is refused and the object unchanged", takenName},
	{"of parallel puts of one name one wins", oneWinner},
	{"of parallel large puts of one name one wins", oneLargeWinner},
	{"a wrong size is refused and nothing stored", wrongSize},
	{"delete removes, and again is no error", deletes},
}

func roundTrip(ctx context.Context, p probe, data []byte) error {
	if err := p.absent(ctx, "object"); err != nil {
		return err
	}
	if err := p.put(ctx, "object", data); err != nil {
		return err
	}
	return p.holds(ctx, "object", data)
}

func takenName(ctx context.Context, p probe) error {
	first := []byte("first")
	if err := p.put(ctx, "taken", first); err != nil {
		return err
	}
	for _, data := range [][]byte{[]byte("second"), first, nil} {
		if err := wants(fs.ErrExist, "second put", p.put(ctx, "taken", data)); err != nil {
			return err
		}
	}
	large := bytes.NewReader(noise(5, largeSize))
	if err := wants(fs.ErrExist, "large second put", p.Put(ctx, p.name("taken"), large, -1)); err != nil {
		return err
	}
	return p.holds(ctx, "taken", first)
}

func oneWinner(ctx context.Context, p probe) error {
	return race(ctx, p, 8, 1000)
}

func oneLargeWinner(ctx context.Context, p probe) error {
	return race(ctx, p, 2, largeSize)
}

func race(ctx context.Context, p probe, writers, size int) error {
	if !p.Properties().ConditionalCreate {
		return fmt.Errorf("conditional create: %w", ErrNotClaimed)
	}
	results := make([]error, writers)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() { results[i] = p.Put(ctx, p.name("claim"), bytes.NewReader(noise(byte(i), size)), int64(size)) })
	}
	group.Wait()
	winner := slices.Index(results, nil)
	for i, err := range results {
		if i == winner {
			continue
		}
		if err := wants(fs.ErrExist, fmt.Sprintf("put by writer %d", i), err); err != nil {
			return err
		}
	}
	if winner < 0 {
		return errors.New("no put won")
	}
	return p.holds(ctx, "claim", noise(byte(winner), size))
}

func wrongSize(ctx context.Context, p probe) error {
	for i, c := range []struct{ size, given int }{{10, 9}, {10, 11}, {0, 1}, {1, 0}, {largeSize, largeSize - 1}, {largeSize, largeSize + 1}} {
		name := fmt.Sprint("wrong-", i)
		if err := p.Put(ctx, p.name(name), bytes.NewReader(make([]byte, c.given)), int64(c.size)); err == nil {
			return fmt.Errorf("put of %d bytes announced as %d succeeded", c.given, c.size)
		}
		if err := p.absent(ctx, name); err != nil {
			return err
		}
	}
	// A size that is right by io.Reader's rules, though it comes byte by byte, is no error.
	slow := oneByte{bytes.NewReader([]byte("slow"))}
	if err := p.Put(ctx, p.name("slow"), slow, 4); err != nil {
		return err
	}
	return p.holds(ctx, "slow", []byte("slow"))
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(b []byte) (int, error) { return o.r.Read(b[:min(1, len(b))]) }

func deletes(ctx context.Context, p probe) error {
	if err := p.put(ctx, "gone", []byte("here")); err != nil {
		return err
	}
	for range 2 {
		if err := p.Delete(ctx, p.name("gone")); err != nil {
			return err
		}
		if err := p.absent(ctx, "gone"); err != nil {
			return err
		}
	}
	if err := p.Delete(ctx, p.name("never/was/there")); err != nil {
		return err
	}
	// AWS lets a name be used again, versitygw in a bucket with versions does not; either way it is whole or absent.
	err := p.put(ctx, "gone", []byte("again"))
	switch {
	case errors.Is(err, fs.ErrExist):
		return p.absent(ctx, "gone")
	case err != nil:
		return fmt.Errorf("put under a name that is free again: %w", err)
	}
	return p.holds(ctx, "gone", []byte("again"))
}
