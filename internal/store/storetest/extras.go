package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/backstaydb/backstay/internal/store"
)

var extras = []Step{
	{"a file in the making becomes an object when it is committed", filer},
	{"a lock forbids deletion and only ever extends", locker},
}

func filer(ctx context.Context, p probe) error {
	files, ok := p.Store.(store.Filer)
	if !ok {
		return fmt.Errorf("files: %w", ErrNotClaimed)
	}
	data := noise(10, 3<<20+17)
	write := func(name string) (store.File, error) {
		f, err := files.Create(ctx, p.name(name))
		if err != nil {
			return nil, err
		}
		for rest := data; len(rest) > 0; {
			n, err := f.Write(rest[:min(100_001, len(rest))])
			if err != nil {
				return nil, err
			}
			rest = rest[n:]
		}
		return f, p.absent(ctx, name)
	}
	f, err := write("file")
	if err != nil {
		return err
	}
	late, err := write("file")
	if err != nil {
		return err
	}
	if err := f.Commit(ctx); err != nil {
		return err
	}
	if err := errors.Join(wants(fs.ErrExist, "second commit", late.Commit(ctx)), late.Abort(), f.Abort()); err != nil {
		return err
	}
	if err := p.holds(ctx, "file", data); err != nil {
		return err
	}
	if err := holdsFile(files, p.name("file"), data); err != nil {
		return err
	}
	unwanted, err := write("unwanted")
	if err != nil {
		return err
	}
	if err := unwanted.Abort(); err != nil {
		return err
	}
	if err := p.absent(ctx, "unwanted"); err != nil {
		return err
	}
	_, err = files.Create(ctx, "../outside")
	return wants(fs.ErrInvalid, "create with a bad name", err)
}

func holdsFile(files store.Filer, name string, want []byte) error {
	path, err := files.Path(name)
	if err != nil {
		return err
	}
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("the file of an object has other bytes than the object")
	}
	_, err = files.Path(name + "-absent")
	return wants(fs.ErrNotExist, "path", err)
}

func locker(ctx context.Context, p probe) error {
	lock, ok := p.Store.(store.Locker)
	if !ok {
		return fmt.Errorf("object lock: %w", ErrNotClaimed)
	}
	data := []byte("locked")
	if err := p.put(ctx, "locked", data); err != nil {
		return err
	}
	name := p.name("locked")
	if _, err := lock.LockedUntil(ctx, p.name("absent")); !errors.Is(err, fs.ErrNotExist) {
		return wants(fs.ErrNotExist, "read the lock of nothing", err)
	}
	short := time.Now().Add(2 * time.Second).Truncate(time.Second)
	long := short.Add(2 * time.Second)
	for _, until := range []time.Time{short, long} {
		if err := lock.Lock(ctx, name, until); err != nil {
			return err
		}
		if err := lockedAtLeast(ctx, lock, name, until); err != nil {
			return err
		}
	}
	if err := wants(fs.ErrPermission, "shorten the lock", lock.Lock(ctx, name, short)); err != nil {
		return err
	}
	if err := lockedAtLeast(ctx, lock, name, long); err != nil {
		return err
	}
	err := p.Delete(ctx, name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return p.holds(ctx, "locked", data)
	case err != nil:
		return err
	}
	return p.absent(ctx, "locked")
}

func lockedAtLeast(ctx context.Context, lock store.Locker, name string, until time.Time) error {
	got, err := lock.LockedUntil(ctx, name)
	if err == nil && got.Before(until) {
		err = fmt.Errorf("locked until %v, where %v was due", got, until)
	}
	return err
}
