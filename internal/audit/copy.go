package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// maxObject is the largest object of a ledger, in bytes.
const maxObject = 64 << 20

// Copied is what CopyTo did.
type Copied struct {
	Objects int   `json:"objects"` // that were put
	Bytes   int64 `json:"bytes"`
	Newest  Seen  `json:"newest"` // what the copy holds now
}

// CopyTo brings the copy in another store up to date, byte for byte. It first sees that what the copy holds is the
// beginning of what is here: if not, one of the two was altered or put back, nothing is written, and the error is a
// ledger.RollbackError. Where the newest checkpoint of the copy is damaged it mends the copy, as Mend does. It may be interrupted and repeated, and run from several processes at once. Before the log is
// begun it does nothing.
func (l *Log) CopyTo(ctx context.Context, to store.Store) (Copied, error) {
	c := &copier{l: l, to: to}
	if err := c.run(ctx); err != nil {
		return c.done, fmt.Errorf("copy audit log %s to %s: %w", l.c.Name, to, err)
	}
	return c.done, nil
}

// Restore brings a log back that this host has lost altogether from the copy in a store. It returns fs.ErrExist if
// anything of the log is here: a damaged one is first moved aside, so that it can be looked at. Where the copy lacks what
// this host saw, Append refuses to go on until what Memory holds is moved aside too: somebody has to know of that loss.
func (l *Log) Restore(ctx context.Context, from store.Store) (Copied, error) {
	here, err := listing(ctx, l.c.Store, l.c.Name)
	if err == nil && len(here) > 0 {
		err = fs.ErrExist
	}
	var done Copied
	if err == nil {
		c := l.c
		c.Store, c.Signer, c.Verifiers, c.Memory = from, nil, l.verifiers(), nil
		done, err = (&Log{c: c, full: l.full}).CopyTo(ctx, l.c.Store)
	}
	if err != nil {
		return done, fmt.Errorf("restore audit log %s: %w", l.c.Name, err)
	}
	l.mu.Lock()
	l.current = nil
	l.mu.Unlock()
	return done, nil
}

// newestIn reads how far the copy in a store has come; ok is false if it holds nothing.
func (l *Log) newestIn(ctx context.Context, s store.Store) (seen Seen, ok bool, err error) {
	volumes, err := listing(ctx, s, l.c.Name)
	if err != nil || len(volumes) == 0 {
		return Seen{}, false, err
	}
	// A copy that was interrupted has a volume without a checkpoint at its end.
	for n := newestOf(volumes); n >= 0; n-- {
		if len(volumes[n].checkpoints()) == 0 {
			continue
		}
		v, err := l.volumeIn(s, n, nil, nil, keepIDs)
		if err != nil {
			return Seen{}, false, err
		}
		head, err := v.log.Newest(ctx)
		return Seen{n, head.Seen()}, err == nil, err
	}
	return Seen{}, false, nil
}

type copier struct {
	l     *Log
	to    store.Store
	mends bool // what is damaged there is replaced
	done  Copied
}

func (c *copier) run(ctx context.Context) error {
	// The other side is looked at first: what it has was here before.
	seen, ok, err := c.l.newestIn(ctx, c.to)
	if isDamage(err) {
		c.mends, err = true, nil
	}
	if err != nil {
		return err
	}
	there, err := listing(ctx, c.to, c.l.c.Name)
	if err != nil {
		return err
	}
	newest, err := c.l.find(ctx)
	if err != nil {
		return err
	}
	if ok {
		if err := c.extends(ctx, seen, newest); err != nil {
			return err
		}
	}
	here, err := listing(ctx, c.l.c.Store, c.l.c.Name)
	if err != nil {
		return err
	}
	if c.mends && newestOf(there) > newest {
		return c.l.lost(Seen{Volume: newestOf(there)}, newest)
	}
	for n := range newest + 1 {
		if c.mends && there[n] != nil {
			if err := c.mend(ctx, n, there[n]); err != nil {
				return err
			}
		}
		if complete(here[n], there[n]) {
			continue
		}
		if err := c.volume(ctx, n, there[n]); err != nil {
			return err
		}
	}
	return nil
}

// extends sees that the copy is the beginning of what is here.
func (c *copier) extends(ctx context.Context, seen Seen, newest int) error {
	if newest < seen.Volume {
		return c.l.lost(seen, newest)
	}
	v, err := c.source(seen.Volume)
	if err != nil {
		return err
	}
	_, _, err = v.log.Extends(ctx, seen.Seen)
	return err
}

// source is a volume here: the one that is appended to where it is open, since that knows its leaves already.
func (c *copier) source(n int) (*volume, error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if v := c.l.current; v != nil && v.number == n {
		return v, nil
	}
	return c.l.volumeIn(c.l.c.Store, n, nil, c.l.c.Memory, keepIDs)
}

// complete reports whether a copy of a volume has all that counts here.
func complete(here, there contents) bool {
	points := here.checkpoints()
	for name := range here {
		_, stands := there[name]
		outdated := strings.HasPrefix(name, "checkpoint/") && name != points[len(points)-1]
		if !stands && !outdated {
			return false
		}
	}
	return len(points) > 0
}

// volume copies what a volume there lacks: the bundles, then the checkpoint that covers them.
func (c *copier) volume(ctx context.Context, n int, there contents) error {
	v, err := c.source(n)
	if err != nil {
		return err
	}
	head, err := v.log.Head(ctx) // reads and verifies what is about to be copied
	if err != nil {
		return err
	}
	point := fmt.Sprintf("checkpoint/%012d", head.Number)
	object, err := store.ReadAll(ctx, c.l.c.Store, prefix(c.l.c.Name, n)+"/"+point, maxObject)
	if err != nil {
		return err
	}
	behind := bytes.Count(object[len(head.Note):], []byte("\n")) - 1 // leaves that no bundle holds; a blank line comes first
	for i := range (head.Size - int64(behind)) / bundleLeaves {
		name := fmt.Sprintf("bundle/%06d", i)
		if _, stands := there[name]; stands {
			continue
		}
		if err := c.object(ctx, n, name); err != nil {
			return err
		}
	}
	if err := c.put(ctx, n, point, object); err != nil {
		return err
	}
	c.done.Newest = Seen{n, head.Seen()}
	c.prune(ctx, n, there, point)
	return nil
}

func (c *copier) object(ctx context.Context, n int, name string) error {
	content, err := store.ReadAll(ctx, c.l.c.Store, prefix(c.l.c.Name, n)+"/"+name, maxObject)
	if err != nil {
		return err
	}
	return c.put(ctx, n, name, content)
}

// put creates an object there, or finds that it stands already.
func (c *copier) put(ctx context.Context, n int, name string, content []byte) error {
	name = prefix(c.l.c.Name, n) + "/" + name
	err := c.to.Put(ctx, name, bytes.NewReader(content), int64(len(content)))
	if err == nil {
		c.done.Objects++
		c.done.Bytes += int64(len(content))
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	stands, err := store.ReadAll(ctx, c.to, name, maxObject)
	if err == nil && !bytes.Equal(stands, content) {
		err = &ledger.CorruptError{Object: name, Detail: "the copy has another object under this name"}
	}
	return err
}

// prune deletes the checkpoints there that the new one makes needless. What cannot be deleted does no harm: a store may
// well forbid it.
func (c *copier) prune(ctx context.Context, n int, there contents, newest string) {
	for _, name := range there.checkpoints() {
		if name < newest {
			_ = c.to.Delete(ctx, prefix(c.l.c.Name, n)+"/"+name)
		}
	}
}
