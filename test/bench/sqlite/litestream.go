package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/superfly/ltx"

	"github.com/backstaydb/backstay/test/bench/measure"
	"github.com/backstaydb/backstay/test/bench/sqlite/shop"
)

// litestream is the peer, in a process of its own with its command's settings.
type litestream struct {
	b     *bench
	db    string
	store place
	speed float64 // divides its intervals
	check string  // of the integrity after a restore
	p     *measure.Process

	last string // newest file of level 0 that was seen
	seen sighting
}

func newLitestream(b *bench, db string, store place) *litestream {
	return &litestream{b: b, db: db, store: store, speed: 1, check: "none"}
}

func (l *litestream) String() string { return "Litestream" }

func (l *litestream) process() *measure.Process { return l.p }

func (l *litestream) at() place { return l.store }

// url and level follow the layouts of its two replica clients.
func (l *litestream) url() string {
	if strings.HasPrefix(l.store.url, "s3:") {
		return l.store.url
	}
	return "file://" + l.store.url
}

func (l *litestream) level(n int) string {
	if strings.HasPrefix(l.store.url, "s3:") {
		return filepath.Join(l.store.folder, fmt.Sprintf("%04x", n))
	}
	return filepath.Join(l.store.folder, "ltx", strconv.Itoa(n))
}

// protect waits for its first snapshot.
func (l *litestream) protect(ctx context.Context) (err error) {
	l.p, err = l.b.start(ctx, filepath.Dir(l.db), l.store.env, l.b.program("litestream-peer"), "replicate", "-db", l.db, "-replica", l.url(),
		"-speed", strconv.FormatFloat(l.speed, 'f', -1, 64))
	if err != nil {
		return err
	}
	return until(ctx, l.p, time.Hour, "snapshot in the replica", func() (bool, error) {
		files, err := filepath.Glob(filepath.Join(l.level(9), "*.ltx"))
		return len(files) > 0, err
	})
}

func (l *litestream) restore(ctx context.Context, dir string) (string, measure.Usage, error) {
	path := filepath.Join(dir, filepath.Base(l.db))
	u, err := l.b.run(ctx, dir, l.store.env, l.b.program("litestream-peer"), "restore", "-replica", l.url(), "-o", path, "-integrity-check", l.check)
	return path, u, err
}

// durable looks for new files of level 0. They are uploaded in order, each holding the newest version of every page
// that its commits changed, so the beat in one is that of its last commit. Litestream also writes to tables of its
// own: a file may hold none.
func (l *litestream) durable() (sighting, error) {
	entries, err := os.ReadDir(l.level(0)) // sorted by name
	now := time.Now()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l.seen, err
	}
	for _, e := range entries {
		if e.Name() <= l.last || !strings.HasSuffix(e.Name(), ".ltx") {
			continue
		}
		beat, ok, err := beatIn(filepath.Join(l.level(0), e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have been compacted away meanwhile
			return l.seen, err
		}
		l.last = e.Name()
		if ok && beat > l.seen.beat {
			l.seen = sighting{beat: beat, at: now}
		}
	}
	return l.seen, nil
}

// beatIn finds the beat in an LTX file; ok is false where the file holds no page with one.
func beatIn(path string) (beat uint64, ok bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	d := ltx.NewDecoder(f)
	if err := d.DecodeHeader(); err != nil {
		return 0, false, fmt.Errorf("decode %s: %w", path, err)
	}
	page := make([]byte, d.Header().PageSize)
	for {
		var h ltx.PageHeader
		if err := d.DecodePage(&h, page); err != nil {
			if d.Close() == nil { // the pages ended
				return 0, false, nil
			}
			return 0, false, fmt.Errorf("decode %s: %w", path, err)
		}
		if n, found := shop.FindBeat(page); found {
			return n, true, nil
		}
	}
}
