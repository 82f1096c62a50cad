package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
)

// RivalError says that another host, or another folder, protects a source into the same repository. Two of them would
// write two histories of one source, each of which breaks off the other.
type RivalError struct {
	Source string
	Store  string
	Signer string // what the other signs as
}

func (e *RivalError) Error() string {
	return fmt.Sprintf("protect %s into %s: another backstay is writing there now, signing as %s", e.Source, e.Store, e.Signer)
}

// Hint says how both can be had.
func (e *RivalError) Hint() string {
	return "end the other one first; or, if this is another database, choose another --name or another store for it"
}

// How long a daemon that has nothing to say may stay silent: a little more than its heartbeats are apart. The clocks of
// two hosts may differ, so some time is watched however old the newest checkpoint looks.
const (
	silentLocal  = 12 * time.Second
	silentRemote = 65 * time.Second
	watchedLeast = 3 * time.Second
)

// alone fails with *RivalError if somebody else goes on writing to repo. It returns at once where this host wrote last,
// and where the ledger cannot be read: whoever reads it next says so, and waits.
func (w *writers) alone(ctx context.Context, repo *repository.Repository, url string) error {
	facts, err := repo.Facts(ctx)
	first := facts.Head
	if err != nil || w.signer.Signed(first) {
		return ctx.Err()
	}
	limit := silentRemote
	if repo.Store().Properties().Local {
		limit = silentLocal
	}
	began := w.host.Now()
	watched := max(watchedLeast, limit-max(0, began.Sub(first.Time)))
	w.host.Log.Info("another host wrote to this repository last; looking whether it still does", "source", w.source, "store", url, "for", watched.Round(time.Second))
	for w.host.Now().Sub(began) < watched {
		if err := backoff.Sleep(ctx, time.Second); err != nil {
			return err
		}
		if facts, err = repo.Facts(ctx); err != nil {
			return nil
		}
		if facts.Head.Number != first.Number && !w.signer.Signed(facts.Head) {
			return &RivalError{Source: w.source, Store: url, Signer: facts.Head.Signer}
		}
	}
	return nil
}

// reopened opens repo again with the key at hand, if there is one, where it shows what no key that this host pinned has
// signed: another host may have joined, which only who can read can tell from a forger. It returns errMissing where there is a key and no
// checkpoint: a first start was cut short, and create goes on with it.
func (w *writers) reopened(ctx context.Context, repo *repository.Repository, o repository.Options) (*repository.Repository, error) {
	facts, err := repo.Facts(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	if err == nil && len(facts.Ignored) == 0 || !isForeign(err) {
		return repo, nil
	}
	key, err := w.host.reader()
	if err != nil {
		return repo, nil // The trouble is reported by whoever reads it next, and waited for.
	}
	o.Identities = key.Identities
	again, err := repository.Open(ctx, repo.Store(), o)
	if err != nil {
		return repo, nil
	}
	w.host.Log.Info("read who may sign again, with the key at hand", "source", w.source)
	return again, nil
}

// isForeign reports whether err, or nil, can mean that a checkpoint of an unknown signer stands in the way.
func isForeign(err error) bool {
	var untrusted *ledger.UntrustedError
	var rollback *ledger.RollbackError
	return err == nil || errors.As(err, &untrusted) || errors.As(err, &rollback) && len(rollback.Ignored) > 0
}
