package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/store"
)

// keyring is what the key objects of a source say, as far as they can be trusted.
type keyring struct {
	current       *keyObject
	secret        *Secret // nil without a reader's key
	highest       int     // number of the newest object, trusted or not
	authenticated bool    // current was made by who could read, or signed by who may sign
	verifiers     []string
	accepted      []*keyObject // oldest first; the last is current
	rejected      []Damage
	numbers       []int    // of the key objects in rejected
	claimed       []string // verifier keys that rejected ones name, and this host does not trust
}

// loadKeys reads all key objects of a source, oldest first, and follows the chain of trust through them: each is
// authenticated by an identity, or signed by a signer, of the one before it. Where neither a key nor a pinned verifier
// is at hand everything is believed, and authenticated is false.
func loadKeys(ctx context.Context, s store.Store, source string, keys []age.Identity, pinned []string) (*keyring, error) {
	objects, ring, err := readKeyObjects(ctx, s, source)
	if err != nil {
		return nil, err
	}
	var known []*age.X25519Identity
	for _, k := range objects {
		if len(keys) == 0 {
			break
		}
		secret, err := unwrap(k.Wrapped, keys)
		if err != nil {
			continue // a reader need not be one of every object's
		}
		known = append(known, secret.identities...)
	}
	if len(keys) > 0 && len(known) == 0 && len(objects) > 0 {
		return nil, &WrongKeyError{Source: source, Readers: objects[len(objects)-1].Readers}
	}
	vouched := len(pinned) == 0
	for _, k := range objects {
		if ring.current != nil && ring.current.Number == k.Number {
			continue // its first copy counts; Check finds that this one is not as it is listed
		}
		trusted, reason := ring.judge(k, known, pinned)
		if reason != "" {
			ring.reject(source+"/"+k.name, k.Number, reason)
			ring.claimed = append(ring.claimed, k.Signers...)
			continue
		}
		ring.accept(k, trusted, keys)
		vouched = vouched || k.signedBy(pinned)
	}
	if ring.current == nil {
		last := ring.rejected[len(ring.rejected)-1]
		return nil, &KeyError{Source: source, Reason: last.Object + ": " + last.Detail}
	}
	// Whoever knows a reader's recipient can make a whole repository that the reader's key opens. Each key object follows
	// the one before it, so one that a pinned signer made vouches for all.
	if !vouched {
		return nil, &KeyError{Source: source, Reason: "it is signed by " + strings.Join(ring.current.Signers, ", ") + ", and by no key that is known here"}
	}
	ring.verifiers = slices.Concat(pinned, ring.current.Signers)
	slices.Sort(ring.verifiers)
	ring.verifiers = slices.Compact(ring.verifiers)
	return ring, nil
}

// judge says whether k follows the objects accepted so far: trusted tells whether that was shown or only believed,
// reason why k is refused.
func (r *keyring) judge(k *keyObject, known []*age.X25519Identity, pinned []string) (trusted bool, reason string) {
	if len(known) > 0 {
		for _, id := range known {
			follows := r.current == nil || id.Recipient().String() == r.current.Recipient
			if follows && k.hasMAC(id) {
				return true, ""
			}
		}
		return false, "whoever made it could not read the repository"
	}
	signers := pinned
	if r.current != nil && r.authenticated {
		signers = slices.Concat(pinned, r.current.Signers)
	}
	switch {
	case len(pinned) == 0:
		return false, ""
	case k.signedBy(signers):
		return true, ""
	}
	return false, "no signer that this host trusts has signed it"
}

func (r *keyring) accept(k *keyObject, trusted bool, keys []age.Identity) {
	r.current, r.authenticated = k, trusted
	r.accepted = append(r.accepted, k)
	for i, n := range r.numbers {
		if n == k.Number {
			r.rejected[i].Affects = "nothing, while " + k.name + ", which says the same, is whole"
		}
	}
	if len(keys) == 0 {
		return
	}
	if secret, err := unwrap(k.Wrapped, keys); err == nil {
		r.secret = secret
	}
}

func (r *keyring) reject(object string, number int, reason string) {
	r.rejected = append(r.rejected, Damage{Object: object, Kind: BadKey, Detail: reason, Affects: "who can read and who may sign; it does not count"})
	r.numbers = append(r.numbers, number)
}

// readKeyObjects lists and parses, oldest first; of a number there are two where the copy is another. Objects that
// cannot be parsed are rejected in the keyring.
func readKeyObjects(ctx context.Context, s store.Store, source string) ([]*keyObject, *keyring, error) {
	numbers, err := keyNumbers(ctx, s, source)
	if err != nil {
		return nil, nil, fmt.Errorf("read keys of %s: %w", source, err)
	}
	if len(numbers) == 0 {
		return nil, nil, noKeys(ctx, s, source)
	}
	ring := &keyring{}
	var objects []*keyObject
	for _, n := range numbers {
		ring.highest = n
		for _, relative := range keyNames(n) {
			k, err := readKeyObject(ctx, s, source, relative, n)
			var corrupt *CorruptError
			switch {
			case errors.As(err, &corrupt):
				ring.reject(source+"/"+relative, n, corrupt.Detail)
			case errors.Is(err, fs.ErrNotExist): // the other stands; Check finds that this one is missing
			case err != nil:
				return nil, nil, fmt.Errorf("read keys of %s: %w", source, err)
			case len(objects) == 0 || !bytes.Equal(objects[len(objects)-1].raw, k.raw):
				objects = append(objects, k)
			}
		}
	}
	if len(objects) == 0 && len(ring.rejected) == 0 {
		return nil, nil, noKeys(ctx, s, source) // they went meanwhile
	}
	return objects, ring, nil
}

func readKeyObject(ctx context.Context, s store.Store, source, relative string, number int) (*keyObject, error) {
	raw, err := store.ReadAll(ctx, s, source+"/"+relative, maxKeyObject)
	if err != nil {
		return nil, err
	}
	k, err := parseKeyObject(raw, source, number)
	if err != nil {
		return nil, &CorruptError{Object: source + "/" + relative, Detail: err.Error()}
	}
	k.name = relative
	return k, nil
}

// keyNumbers lists the numbers of key objects of which there is at least one copy.
func keyNumbers(ctx context.Context, s store.Store, source string) ([]int, error) {
	var numbers []int
	for _, folder := range keyFolders {
		prefix := source + "/" + folder
		err := s.List(ctx, prefix, func(o store.Object) error {
			digits := strings.TrimPrefix(o.Name, prefix)
			if n, err := strconv.Atoi(digits); err == nil && n > 0 && len(digits) == 6 {
				numbers = append(numbers, n)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// noKeys is the error for a source without any key object: it is not there, unless it has a ledger.
func noKeys(ctx context.Context, s store.Store, source string) error {
	begun := false
	err := s.List(ctx, source+"/ledger/", func(store.Object) error { begun = true; return fs.SkipAll })
	switch {
	case begun:
		return &KeyError{Source: source, Reason: "all of its key objects are missing"}
	case err != nil:
		return fmt.Errorf("read keys of %s: %w", source, err)
	}
	return fmt.Errorf("open repository of %s in %s: %w", source, s, fs.ErrNotExist)
}
