package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// system is one of those compared, protecting one database in one store. It is used from one goroutine, durable
// from one other.
type system interface {
	String() string

	// protect starts it and returns when a first full copy of the database is durable in the store.
	protect(ctx context.Context) error

	// process is the running daemon.
	process() *measure.Process

	// at is its store.
	at() place

	// durable looks into the store from outside: the beat of the newest commit that stands there, all before it
	// included, and when that was seen. It returns the same again until something new is there.
	durable() (sighting, error)

	// restore brings the newest state from the store into the empty folder dir and returns the database's path.
	restore(ctx context.Context, dir string) (path string, u measure.Usage, err error)
}

// sighting is one look into a store.
type sighting struct {
	beat uint64
	at   time.Time
}

// place is a store for a system: what it is called, the URL a system is given, where its objects are seen as files.
type place struct {
	name   string
	url    string
	folder string
	env    []string
}

// drained waits until a beat is durable.
func drained(ctx context.Context, s system, beat uint64, limit time.Duration) error {
	return until(ctx, s.process(), limit, fmt.Sprintf("sight of commit %d in the store", beat), func() (bool, error) {
		seen, err := s.durable()
		return seen.beat >= beat, err
	})
}

// folderStore is a place that is a plain folder.
func (b *bench) folderStore() (place, error) {
	dir, err := b.folder("store")
	return place{name: "folder", url: dir, folder: dir}, err
}

// copyDatabase gives a system its own copy of a database that nobody has open, in a folder of its own.
func (b *bench) copyDatabase(from string) (string, error) {
	dir, err := b.folder("database")
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "shop.db")
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return "", fmt.Errorf("copy the database: %w", err)
	}
	if err := dst.Sync(); err != nil {
		dst.Close()
		return "", err
	}
	return to, dst.Close()
}
