package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
)

// writers opens the repositories of one source for writing, and makes those that are not there. All repositories of
// a source share one identity, so a new one is made from an old one; and while one cannot be reached none is made
// anew, since nobody could know whether that one is the first.
type writers struct {
	host     *Host
	source   string
	kind     string // of the engine
	systemID string
	signer   *ledger.Signer
	guest    Key // of a host that captures nothing, and makes no repository; zero for one that does

	mu       sync.Mutex
	opened   map[string]*repository.Repository
	followed string // guests that are trusted and invited

	strangers sync.Mutex           // guards what follows
	strange   map[string]time.Time // when it was told that a stranger signed, by repository
	told      func(archive.Event)  // nil: nobody hears of it
}

// errMissing says that a store is there and holds nothing of the source.
var errMissing = errors.New("it holds nothing of this source yet")

// newWriters opens what can be opened now. Stores that cannot be reached are left to later calls of get, if this
// host has begun this source before or one repository answers.
func (h *Host) newWriters(ctx context.Context, source, kind, systemID string) (*writers, error) {
	for _, dir := range []string{"seen", "engine", "spool"} {
		if err := os.MkdirAll(h.sourceState(source, dir), 0o700); err != nil {
			return nil, fmt.Errorf("make the state folder: %w", err)
		}
	}
	signer, err := h.signer()
	if err != nil {
		return nil, err
	}
	w := &writers{host: h, source: source, kind: kind, systemID: systemID, signer: signer, opened: map[string]*repository.Repository{}}
	var missing, failed []error
	for _, name := range h.Config.Sources[source].Repositories {
		switch err := w.open(ctx, name); {
		case errors.Is(err, errMissing):
			missing = append(missing, err)
		case err != nil && !isPassing(err):
			return nil, errors.Join(fmt.Errorf("repository %s: %w", name, err), w.close())
		case err != nil:
			failed = append(failed, fmt.Errorf("repository %s: %w", name, err))
		}
	}
	if len(w.opened) > 0 || len(missing) == 0 && w.begun() {
		return w, nil
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("begin %s: every store must be reached once, since it may hold this source already: %w", source, failed[0])
	}
	return w, w.create(ctx, h.Config.Sources[source].Repositories[0])
}

// guestWriters are those of a host that only leaves reports, and mends. Nothing is opened yet.
func (h *Host) guestWriters(source, kind string, key Key) (*writers, error) {
	if err := os.MkdirAll(h.sourceState(source, "seen"), 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	signer, err := h.signer()
	if err != nil {
		return nil, err
	}
	return &writers{host: h, source: source, kind: kind, signer: signer, guest: key, opened: map[string]*repository.Repository{}}, nil
}

// isGuest reports whether the history is another host's.
func (w *writers) isGuest() bool { return len(w.guest.Identities) > 0 }

// begun reports whether this host has written to a repository of the source before.
func (w *writers) begun() bool {
	keys, err := w.host.trusted(w.source)
	return err == nil && len(keys) > 0
}

// isPassing reports whether an error may go away by itself: a store that cannot be reached.
func isPassing(err error) bool {
	var s *StoreError
	return errors.As(err, &s)
}

// get gives one repository, opened or made; it is called again until it succeeds.
func (w *writers) get(ctx context.Context, name string) (*repository.Repository, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.opened[name]; r != nil {
		return r, nil
	}
	err := w.open(ctx, name)
	if errors.Is(err, errMissing) && !w.isGuest() {
		err = w.create(ctx, name)
	}
	return w.opened[name], err
}

// close lets the repositories write down what this host saw of them last.
func (w *writers) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, r := range w.opened {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// open opens one repository; errMissing if its store holds nothing of this source.
func (w *writers) open(ctx context.Context, name string) error {
	url := w.host.Config.Repositories[name].Store
	s, err := w.host.openStore(ctx, name)
	if err != nil {
		return err
	}
	trusted, err := w.host.trusted(w.source)
	if err != nil {
		return err
	}
	o := repository.Options{Source: w.source, Signer: w.signer, Trusted: slices.Concat(trusted, w.guest.Pins), Identities: w.guest.Identities, Seen: w.host.seen(w.source, name), Lock: w.host.lockOf(name), Log: w.host.Log, Now: w.host.Now,
		Stranger: func(i ledger.Ignored) { w.stranger(name, i) }}
	repo, err := repository.Open(ctx, s, o)
	if errors.Is(err, fs.ErrNotExist) {
		return errMissing
	}
	if err != nil {
		return storeError(url, err)
	}
	if repo, err = w.reopened(ctx, repo, o); err != nil {
		return err
	}
	if !w.isGuest() {
		if err := w.alone(ctx, repo, url); err != nil {
			return err
		}
	}
	known := slices.Contains(repo.Verifiers(), w.signer.Verifier())
	if w.isGuest() && !known {
		if ok, err := invited(ctx, repo, w.signer.Verifier()); err != nil {
			return storeError(url, err)
		} else if !ok {
			return w.uninvited(repo)
		}
	}
	if !known {
		if repo, err = w.join(ctx, repo, o); err != nil {
			return err
		}
	}
	if !w.isGuest() {
		if err := w.invite(ctx, repo); err != nil {
			w.host.Log.Warn("a guest is not invited; the next start tries again", "source", w.source, "repository", name, "error", err)
		}
	}
	w.opened[name] = repo
	return w.pin(repo)
}

// join lets this host sign for a repository that another host made. It takes a key that can read.
func (w *writers) join(ctx context.Context, repo *repository.Repository, o repository.Options) (*repository.Repository, error) {
	key, err := w.host.reader()
	if errors.Is(err, errNoReader) {
		err = &KeyError{
			Err:    fmt.Errorf("source %s in %s was made by another host, and this one may not write to it", w.source, repo.Store()),
			Advice: "put a key that can read it beside backstay.yaml as backstay.key for the first start, or choose another --name for this source",
		}
	}
	if err != nil {
		return nil, err
	}
	o.Identities = key.Identities
	if repo, err = repository.Open(ctx, repo.Store(), o); err != nil {
		return nil, err
	}
	return repo, repo.AddSigner(ctx, w.signer.Verifier())
}

// create makes one repository, of the same identity as one that stands.
func (w *writers) create(ctx context.Context, name string) error {
	url := w.host.Config.Repositories[name].Store
	s, err := w.host.openStore(ctx, name)
	if err != nil {
		return err
	}
	o := repository.CreateOptions{
		Source: w.source, Engine: w.kind, SystemID: w.systemID, Signer: w.signer,
		Seen: w.host.seen(w.source, name), Lock: w.host.lockOf(name), Log: w.host.Log, Now: w.host.Now,
	}
	for _, r := range w.opened {
		o.KeyObject = r.KeyObject()
	}
	switch {
	case o.KeyObject != nil:
	case w.begun():
		return &goneError{source: w.source, store: url, state: w.host.sourceState(w.source)}
	default:
		if o.Readers, err = w.host.newReaders(); err != nil {
			return err
		}
	}
	repo, err := repository.Create(ctx, s, o)
	if err != nil {
		return storeError(url, err)
	}
	w.host.Log.Info("made repository", "source", w.source, "repository", name, "store", url)
	w.opened[name] = repo
	if err := addPin(w.host.Config.KeyFile(), w.signer.Verifier()); err != nil {
		w.host.Log.Warn("the key file does not say who signs", "source", w.source, "error", err)
	}
	return w.pin(repo)
}

// pin keeps the verifier keys that this host trusts from now on.
func (w *writers) pin(repo *repository.Repository) error {
	old, err := w.host.trusted(w.source)
	if err != nil {
		return err
	}
	keys := slices.Concat(old, repo.Verifiers())
	slices.Sort(keys)
	if keys = slices.Compact(keys); slices.Equal(keys, old) {
		return nil
	}
	if err := atomicfile.Write(w.host.sourceState(w.source, "trusted"), []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("pin verifier keys: %w", err)
	}
	return nil
}

// goneError says that a repository that this host has written to is not there any more.
type goneError struct{ source, store, state string }

func (e *goneError) Error() string {
	return fmt.Sprintf("open repository of %s in %s: it was there before and is gone, and no other repository of this source answers", e.source, e.store)
}

// Unwrap says what kind of error it is.
func (e *goneError) Unwrap() error { return fs.ErrNotExist }

// Hint says what to do if it is meant.
func (e *goneError) Hint() string {
	return "bring it back if it was moved, mount its disk; to begin anew on purpose, remove " + e.state
}
