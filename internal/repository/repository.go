package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// Repository is the sealed history of one source in one store. It is safe for concurrent use. Use Create or Open.
type Repository struct {
	store  store.Store
	source string
	o      Options
	signer *ledger.Signer
	locker store.Locker // nil: nothing is locked
	ledger *ledger.Log
	fold   *fold

	mu     sync.Mutex
	keys   *keyring
	doomed []doomed // objects that no head lists any more
	buried time.Time

	pins pins
}

// Options say who opens a repository.
type Options struct {
	Source     string
	Signer     *ledger.Signer   // nil: read only
	Trusted    []string         // verifier keys that this host has pinned
	Identities []age.Identity   // a reader's keys; nil: contents cannot be read
	Seen       Seen             // nil: nothing is remembered
	Lock       time.Duration    // what is put cannot be deleted for so long, tips aside; zero: it can. It needs a store.Locker
	Log        *slog.Logger     // nil: nothing is logged
	Now        func() time.Time // nil: time.Now

	// Stranger is told of a checkpoint above the newest one that counts which somebody signed who is not listed: it was passed over.
	// nil: it is only logged.
	Stranger func(ledger.Ignored)
}

// Seen keeps the last checkpoint that this host saw of the repository.
type Seen interface {
	Load() (ledger.Seen, bool, error)
	Save(ledger.Seen) error
}

// CreateOptions say what is created. With KeyObject, Readers and Secret are not needed.
type CreateOptions struct {
	Source   string
	Engine   string
	SystemID string
	Readers  []Reader // who can read; at least one

	// Secret is that of another repository of the same source; nil makes a new one. KeyObject is a copy of the other
	// repository's key object, for hosts that have no key.
	Secret    *Secret
	KeyObject []byte

	Signer *ledger.Signer
	Seen   Seen
	Lock   time.Duration // as in Options
	Log    *slog.Logger
	Now    func() time.Time
}

// Create makes the repository of a source. It returns fs.ErrExist if there is one; a Create that failed may be
// repeated. The Repository that it returns can write, and read only if it is opened again with a key.
func Create(ctx context.Context, s store.Store, o CreateOptions) (*Repository, error) {
	if err := validSource(o.Source); err != nil {
		return nil, err
	}
	if o.Signer == nil {
		return nil, fmt.Errorf("create repository of %s: no signer is given", o.Source)
	}
	opened := Options{Source: o.Source, Signer: o.Signer, Trusted: []string{o.Signer.Verifier()}, Seen: o.Seen, Lock: o.Lock, Log: o.Log, Now: o.Now}
	if _, err := opened.locker(s); err != nil {
		return nil, err
	}
	k, err := firstKey(ctx, s, o)
	if err != nil {
		return nil, fmt.Errorf("create repository of %s in %s: %w", o.Source, s, err)
	}
	r, err := newRepository(s, opened, &keyring{current: k, authenticated: true, highest: k.Number, verifiers: k.Signers})
	if err != nil {
		return nil, err
	}
	leaves, err := keyLeaves(k)
	if err == nil {
		err = r.protect(ctx, keyNames(k.Number)...)
	}
	if err != nil {
		return nil, fmt.Errorf("create repository of %s in %s: %w", o.Source, s, err)
	}
	killpoint.At(killpoint.KeysPut)
	if _, err := r.ledger.Create(ctx, ledger.Change{Leaves: leaves}); err != nil {
		return nil, fmt.Errorf("create repository of %s in %s: %w", o.Source, s, err)
	}
	return r, nil
}

// firstKey makes and stores the first key object, or takes the one that a Create of this host left behind which did
// not come to its end. If that was meant for other readers it gives way, since nothing was sealed to it.
func firstKey(ctx context.Context, s store.Store, o CreateOptions) (*keyObject, error) {
	begun := false
	err := s.List(ctx, o.Source+"/ledger/", func(store.Object) error { begun = true; return fs.SkipAll })
	if err != nil && !errors.Is(err, fs.SkipAll) {
		return nil, err
	}
	if begun {
		return nil, fs.ErrExist
	}
	k, err := composeFirstKey(o)
	if err != nil {
		return nil, err
	}
	names := keyNames(k.Number)
	err = putBytes(ctx, s, o.Source+"/"+names[0], k.raw)
	if err == nil {
		killpoint.At(killpoint.KeyPut)
		return k, replaceKeyCopy(ctx, s, k)
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	left, err := readKeyObject(ctx, s, o.Source, names[0], k.Number)
	switch {
	case err != nil:
		return nil, err
	case !left.signedBy([]string{o.Signer.Verifier()}):
		return nil, &BegunError{Source: o.Source}
	case slices.Equal(left.Readers, k.Readers) && (o.Secret == nil || left.Recipient == k.Recipient):
		return left, replaceKeyCopy(ctx, s, left)
	}
	for _, name := range names {
		if err := s.Delete(ctx, o.Source+"/"+name); err != nil {
			return nil, err
		}
	}
	return k, putKeyObject(ctx, s, k)
}

// replaceKeyCopy stores the second copy of a key object that nothing lists yet; one that a Create left behind gives way.
func replaceKeyCopy(ctx context.Context, s store.Store, k *keyObject) error {
	err := putKeyCopy(ctx, s, k)
	var other *CorruptError
	if !errors.As(err, &other) {
		return err
	}
	if err := s.Delete(ctx, other.Object); err != nil {
		return err
	}
	return putKeyCopy(ctx, s, k)
}

func composeFirstKey(o CreateOptions) (*keyObject, error) {
	if o.KeyObject != nil {
		k, err := parseKeyObject(o.KeyObject, o.Source, 0)
		if err == nil && !slices.Contains(k.Signers, o.Signer.Verifier()) {
			err = fmt.Errorf("key object %d does not let %s sign", k.Number, o.Signer.Name())
		}
		return k, err
	}
	if len(o.Readers) == 0 {
		return nil, fmt.Errorf("no reader is given, so that nobody could read it")
	}
	secret := o.Secret
	if secret == nil {
		var err error
		if secret, err = NewSecret(); err != nil {
			return nil, err
		}
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	return makeKeyObject(statement{Number: 1, Source: o.Source, Engine: o.Engine, SystemID: o.SystemID, Created: now().UTC(),
		Readers: o.Readers, Signers: []string{o.Signer.Verifier()}}, secret, secret.identities[0], o.Signer)
}

// keyLeaves list both copies of a key object.
func keyLeaves(k *keyObject) (leaves []ledger.Leaf, err error) {
	body, err := ledger.Body(keyBody{k.Number, k.Engine, k.SystemID})
	size, sum := digest(k.raw)
	for _, name := range keyNames(k.Number) {
		leaves = append(leaves, ledger.Leaf{Kind: string(Key), Name: name, Size: size, SHA256: sum, Body: body})
	}
	return leaves, err
}

// Open opens the repository of a source. It returns fs.ErrNotExist if there is none, and *WrongKeyError if keys are
// given and none of them can read it. One whose Create was cut short can have a key and no checkpoint: it is opened, and
// all that reads its ledger, as Facts does, returns fs.ErrNotExist.
func Open(ctx context.Context, s store.Store, o Options) (*Repository, error) {
	if err := validSource(o.Source); err != nil {
		return nil, err
	}
	keys, err := loadKeys(ctx, s, o.Source, o.Identities, o.Trusted)
	if err != nil {
		return nil, err
	}
	return newRepository(s, o, keys)
}

func newRepository(s store.Store, o Options, keys *keyring) (*Repository, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Repository{store: s, source: o.Source, o: o, signer: o.Signer, fold: newFold(), keys: keys}
	var err error
	if r.locker, err = o.locker(s); err != nil {
		return nil, err
	}
	r.ledger, err = ledger.Open(r.ledgerConfig(r.fold, keys.verifiers, o.Seen))
	return r, err
}

func (r *Repository) ledgerConfig(f ledger.Fold, verifiers []string, seen Seen) ledger.Config {
	c := ledger.Config{Store: r.store, Prefix: r.source + "/ledger", Origin: r.source, Signer: r.signer, Verifiers: verifiers, Fold: f, Now: r.o.Now}
	if seen != nil {
		c.Memory = seen
	}
	if r.locker != nil {
		c.Lock = r.lock
	}
	return c
}

func validSource(name string) error {
	if err := store.ValidName(name); err != nil || strings.Contains(name, "/") {
		return fmt.Errorf("source name %q: want letters, digits, dot, dash and underscore: %w", name, fs.ErrInvalid)
	}
	if strings.EqualFold(name, "audit") {
		return fmt.Errorf("source name %q: the hosts' audit logs have that place in every store: %w", name, fs.ErrInvalid)
	}
	return nil
}

// Sources lists the names of the sources that have a repository in the store.
func Sources(ctx context.Context, s store.Store) ([]string, error) {
	var names []string
	err := s.List(ctx, "", func(o store.Object) error {
		source, rest, _ := strings.Cut(o.Name, "/")
		isKey := slices.ContainsFunc(keyFolders, func(folder string) bool { return strings.HasPrefix(rest, folder) })
		if isKey && (len(names) == 0 || names[len(names)-1] != source) {
			names = append(names, source)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list sources in %s: %w", s, err)
	}
	return names, nil
}

// Source is the name of the source.
func (r *Repository) Source() string { return r.source }

// Store is where the repository lies.
func (r *Repository) Store() store.Store { return r.store }

// CanRead reports whether a reader's key is at hand.
func (r *Repository) CanRead() bool { return r.ring().secret != nil }

// Authenticated reports whether the keys that may sign are known for sure: because a reader's key shows who made the
// list, or because this host pinned them. If not, Verifiers are those of the newest key object, whoever made it.
func (r *Repository) Authenticated() bool { return r.ring().authenticated }

// Verifiers are the keys whose signature counts. A host without a reader's key pins them when it first opens the
// repository.
func (r *Repository) Verifiers() []string { return slices.Clone(r.ring().verifiers) }

func (r *Repository) ring() *keyring {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys
}

// object is the name of an object in the store.
func (r *Repository) object(name string) string { return r.source + "/" + name }

// Close writes down the last checkpoint that this host saw, so that what is seen next must not be older.
func (r *Repository) Close() error { return r.ledger.Close() }
