package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/test/bench/measure"
)

const source = "shop"

// ours is Backstay: `backstay protect` on one database with one store.
type ours struct {
	b     *bench
	dir   string // where backstay.yaml and its state lie
	db    string
	store place
	p     *measure.Process

	first  history.Position // of the base, when the database held no commit of the writer
	next   uint64           // number of the checkpoint that is awaited
	listed time.Time        // when its folder was last listed
	seen   sighting
}

func newOurs(b *bench, db string, store place) (*ours, error) {
	dir, err := b.folder("backstay")
	return &ours{b: b, dir: dir, db: db, store: store, next: 1}, err
}

func (o *ours) String() string { return "backstay" }

func (o *ours) process() *measure.Process { return o.p }

func (o *ours) at() place { return o.store }

// protect expects that nobody writes until it returns: the position of the base is matched with the beat then.
func (o *ours) protect(ctx context.Context) error {
	var err error
	o.p, err = o.b.start(ctx, o.dir, o.store.env, o.b.program("backstay"), "protect", "sqlite:"+o.db, "--name", source, "--store", o.store.url)
	if err != nil {
		return err
	}
	return until(ctx, o.p, time.Hour, "base in the store", func() (bool, error) {
		if bases, err := filepath.Glob(filepath.Join(o.store.folder, source, "base", "*", "manifest")); err != nil || len(bases) == 0 {
			return false, err
		}
		_, err := o.durable()
		return !o.first.IsZero(), err
	})
}

// daemon starts `backstay run` in the folder that protect set up.
func (o *ours) daemon(ctx context.Context) (err error) {
	o.p, err = o.b.start(ctx, o.dir, o.store.env, o.b.program("backstay"), "run")
	return err
}

// command runs another command beside it.
func (o *ours) command(ctx context.Context, args ...string) (measure.Usage, error) {
	return o.b.run(ctx, o.dir, o.store.env, o.b.program("backstay"), args...)
}

func (o *ours) restore(ctx context.Context, dir string) (string, measure.Usage, error) {
	u, err := o.command(ctx, "restore", source, "--to", "latest", "--into", dir, "--store", o.store.url, "--key", filepath.Join(o.dir, "backstay.key"))
	return filepath.Join(dir, filepath.Base(o.db)), u, err
}

// durable reads the newest checkpoints as they appear. A commit counts when an object that holds it stands *and* a
// signed checkpoint that names the object: a restore takes nothing else.
func (o *ours) durable() (sighting, error) {
	for {
		name := filepath.Join(o.checkpoints(), fmt.Sprintf("%012d", o.next))
		text, err := os.ReadFile(name)
		now := time.Now()
		if errors.Is(err, fs.ErrNotExist) {
			if skipped, err := o.skip(now); err != nil || !skipped {
				return o.seen, err
			}
			continue
		}
		if err != nil {
			return o.seen, err
		}
		o.next++
		reach, err := reachOf(text)
		if err != nil {
			return o.seen, fmt.Errorf("read %s: %w", name, err)
		}
		if err := o.match(reach, now); err != nil {
			return o.seen, err
		}
	}
}

func (o *ours) checkpoints() string {
	return filepath.Join(o.store.folder, source, "ledger", "checkpoint")
}

// skip goes on to the oldest checkpoint that still stands, if the awaited one was pruned because nobody looked for
// more than ten minutes. It lists the folder once a second at most.
func (o *ours) skip(now time.Time) (bool, error) {
	if now.Sub(o.listed) < time.Second {
		return false, nil
	}
	o.listed = now
	entries, err := os.ReadDir(o.checkpoints())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && n >= o.next {
			skipped := n > o.next
			o.next = n
			return skipped, nil
		}
	}
	return false, nil
}

// match turns a position into a beat: every commit is one transaction, and only the writer commits.
func (o *ours) match(reach history.Position, now time.Time) error {
	switch {
	case reach.IsZero():
		return nil
	case o.first.IsZero():
		o.first = reach
	case reach.Timeline != o.first.Timeline:
		return fmt.Errorf("the log broke: timeline %d follows timeline %d", reach.Timeline, o.first.Timeline)
	}
	if beat := reach.Seq - min(o.first.Seq, reach.Seq); beat > o.seen.beat {
		o.seen = sighting{beat: beat, at: now}
	}
	return nil
}

// reachOf is how far the bases, segments and tips that a checkpoint names itself reach; zero where it names none. Each
// is one line of JSON, behind the word "tip" in the signed text or as a leaf after it.
func reachOf(checkpoint []byte) (reach history.Position, err error) {
	for line := range bytes.Lines(checkpoint) {
		text, tip := bytes.CutPrefix(line, []byte("tip "))
		if !tip && !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		var object struct {
			Body struct{ To, Stop history.Position } // of a segment, of a base
		}
		if err := json.Unmarshal(text, &object); err != nil {
			return reach, err
		}
		for _, p := range []history.Position{object.Body.To, object.Body.Stop} {
			if reach.Before(p) {
				reach = p
			}
		}
	}
	return reach, nil
}
