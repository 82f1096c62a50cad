package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/lease/etcd"
)

// revival asks the goroutine that keeps the voter alive for one.
type revival struct {
	do   func(context.Context, *etcd.Store) error // with what the folder has, before anybody else sees it
	dry  bool
	done chan error
}

// The folders of a recovery: what is made of the copy, then the same when it is good, then what was there before.
const (
	recovering = ".recovering"
	recovered  = ".recovered"
	before     = ".before-"
)

// recover goes on alone with what this voter's folder has. It works on a copy, behind ports that only this process knows, so that nobody acts
// on a state that is older than what the members know; the copy takes the folder's place as the very last thing, and the folder is kept.
func (c *coordination) recover(ctx context.Context, r *revival) error {
	dir := c.voter.Dir
	copied := dir + recovering
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	defer os.RemoveAll(copied)
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		return fmt.Errorf("copy the voter's folder: %w", err)
	}
	if err := c.alone(ctx, copied, r.do); err != nil || r.dry {
		return err
	}
	if err := settle(copied); err != nil {
		return fmt.Errorf("sync the voter's folder: %w", err)
	}
	if err := os.Rename(copied, dir+recovered); err != nil {
		return err
	}
	return finishRecovery(dir)
}

// settle makes a copied folder durable, and shut to others.
func settle(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return errors.Join(os.Chmod(path, 0o700), atomicfile.SyncDir(path))
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
	})
}

// alone runs the voter of a folder by itself for as long as do takes.
func (c *coordination) alone(ctx context.Context, dir string, do func(context.Context, *etcd.Store) error) error {
	cfg := *c.voter
	cfg.Dir, cfg.Recover, cfg.ListenPeer, cfg.ListenClient = dir, true, "https://127.0.0.1:0", "https://127.0.0.1:0"
	cfg.Hosts = []string{c.name}
	v, err := etcd.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer v.Close()
	base := c.base
	base.EndPoints = []etcd.EndPoint{{URL: v.ClientURL(), Name: c.name}}
	s, err := v.Open(base)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.NextGeneration(ctx, c.host.Now()); err != nil {
		return err
	}
	return do(ctx, s)
}

// finishRecovery puts a recovered folder in its place, also where a crash came in between.
func finishRecovery(dir string) error {
	if _, err := os.Stat(dir + recovered); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		if err := os.Rename(dir, dir+before+time.Now().UTC().Format("20060102T150405.000")); err != nil {
			return err
		}
	}
	if err := os.Rename(dir+recovered, dir); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}

// errNoVoter is why nothing can be recovered here.
var errNoVoter = &hostError{errors.New("this host has no voter with a log"), "recover on a host whose voter is left"}

// force has this host's voter go on alone, the others being lost for good.
func (c *coordination) force(ctx context.Context, dry bool, do func(context.Context, *etcd.Store) error) error {
	if c.voter == nil {
		return errNoVoter
	}
	if kept, err := etcd.Kept(c.voter.Dir); err != nil || !kept {
		return errors.Join(err, errNoVoter)
	}
	if c.answers(ctx) {
		return &hostError{errors.New("a majority of the voters answers: nothing has to be recovered"), "backstay cluster voter replace puts another one in the place of one that is lost"}
	}
	r := &revival{do: do, dry: dry, done: make(chan error, 1)}
	select {
	case c.recoveries <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := <-r.done; err != nil || dry {
		return err
	}
	for !c.answers(ctx) {
		if err := backoff.Sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("the voter was recovered and does not answer yet: %w", err)
		}
	}
	return nil
}

// answers reports whether a majority of the voters does.
func (c *coordination) answers(ctx context.Context) bool {
	s, err := etcd.Open(c.base)
	if err != nil {
		return false
	}
	defer s.Close()
	ctx, stop := context.WithTimeout(ctx, 3*time.Second)
	defer stop()
	_, err = s.Get(ctx, "any")
	return err == nil
}
