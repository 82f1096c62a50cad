package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/lease/etcd"
)

// voterFolder is where this host's voter keeps its log.
func (h *Host) voterFolder() string { return filepath.Join(h.State(), "voter") }

// run keeps this host's voter alive until ctx ends. A voter that fails is started again: the others go on meanwhile. A recovery is carried out
// between two of its lives.
func (c *coordination) run(ctx context.Context) error {
	defer c.store.Close()
	if c.voter == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	said := ""
	for attempt := 0; ctx.Err() == nil; attempt++ {
		life, end := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- c.vote(life) }()
		var asked *revival
		var err error
		select {
		case err = <-ended:
		case asked = <-c.recoveries:
			end()
			<-ended
		}
		end()
		if asked != nil {
			asked.done <- c.recover(ctx, asked)
			attempt = -1
			continue
		}
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			c.host.Log.Error("this host's voter does not run; trying again", "err", err)
		}
		c.rest(ctx, min(time.Duration(attempt+1)*time.Second, 10*time.Second))
	}
	return ctx.Err()
}

// rest waits before another try. A recovery is asked for while there is nothing to end, too.
func (c *coordination) rest(ctx context.Context, pause time.Duration) {
	select {
	case asked := <-c.recoveries:
		asked.done <- c.recover(ctx, asked)
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// vote is one life of the voter.
func (c *coordination) vote(ctx context.Context) error {
	cfg, first, err := c.begin(ctx)
	if err != nil {
		c.follow()
		return err
	}
	starting, settled := context.WithCancelCause(ctx)
	var doubting sync.WaitGroup
	if first {
		doubting.Go(func() { c.doubt(starting, settled) })
	}
	v, err := etcd.Start(starting, cfg)
	settled(nil)
	doubting.Wait()
	switch {
	case err != nil && errors.Is(context.Cause(starting), errOthers):
		return errors.Join(err, os.RemoveAll(cfg.Dir)) // what never was a part of theirs holds nothing
	case err != nil:
		return c.dismissed(ctx, err)
	}
	s, err := v.Open(c.base)
	if err == nil {
		err = atomicfile.Write(c.voter.Dir+began, nil, 0o600)
	}
	if err != nil {
		v.Close()
		return err
	}
	if before := c.store.set(s); before != nil {
		_ = before.Close() // its voter has ended
	}
	return c.dismissed(ctx, v.Run(ctx))
}

// begin says how the voter starts: by its folder, with all others for the first time, or as one that the others have added.
func (c *coordination) begin(ctx context.Context) (cfg etcd.ServerConfig, first bool, err error) {
	cfg = *c.voter
	if err := finishRecovery(cfg.Dir); err != nil {
		return cfg, false, err
	}
	kept, err := etcd.Kept(cfg.Dir)
	if kept || err != nil {
		return cfg, false, err
	}
	own := c.host.voterList([]string{c.name})[0]
	ran, err := c.ran()
	if err != nil {
		return cfg, false, err
	}
	join, all, err := etcd.Place(ctx, c.base, own)
	if err == nil && !join && ran {
		err = etcd.ErrEmptied
	}
	switch {
	case errors.Is(err, etcd.ErrNotAdded):
		return cfg, false, fmt.Errorf("%w: backstay cluster voter add %s, or replace OLD %s, on any host", err, c.name, c.name)
	case errors.Is(err, etcd.ErrEmptied):
		return cfg, false, fmt.Errorf("%w: backstay cluster voter replace %s, on any host", err, c.name)
	case err != nil:
		return cfg, false, err
	}
	if cfg.Join = join; len(all) > 0 {
		cfg.Voters = all
	}
	return cfg, !join, nil
}

// began marks, beside its folder, that this host's voter has voted. Without the folder it must not begin as if it had not: two that forgot
// what they wrote would be a majority, and know nothing of any epoch.
const began = ".began"

// ran reports whether this host's voter ever voted.
func (c *coordination) ran() (bool, error) {
	_, err := os.Stat(c.voter.Dir + began)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// errOthers is why a first start is given up.
var errOthers = errors.New("the other voters run, and this one is not one of those that began with them")

// doubt ends a first start that is none: the others could not be asked when it began, because they were cut off, or did not know this host yet.
func (c *coordination) doubt(ctx context.Context, end context.CancelCauseFunc) {
	for backoff.Sleep(ctx, 2*time.Second) == nil {
		if join, _, err := etcd.Place(ctx, c.base, c.host.voterList([]string{c.name})[0]); join || errors.Is(err, etcd.ErrNotAdded) {
			end(errOthers)
			return
		}
	}
}

// follow asks the voters of other hosts while this one has none.
func (c *coordination) follow() {
	if _, err := c.store.get(); err == nil {
		return
	}
	if s, err := etcd.Open(c.base); err == nil {
		c.store.set(s)
	}
}

// dismissed moves the folder of a voter that the others have removed out of the way, so that it can be added again: nothing in it counts any more.
func (c *coordination) dismissed(ctx context.Context, ended error) error {
	if ended == nil || ctx.Err() != nil {
		return ended
	}
	gone, err := etcd.Gone(ctx, c.base, c.host.voterList([]string{c.name})[0])
	if !gone || err != nil {
		return ended
	}
	aside := c.voter.Dir + ".removed-" + c.host.Now().UTC().Format("20060102T150405.000")
	if err := os.Rename(c.voter.Dir, aside); err != nil {
		return errors.Join(ended, err)
	}
	return fmt.Errorf("this host's voter was removed; its folder is %s now", aside)
}
