package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/ledger"
)

// KeyInfo says who can read and who may sign.
type KeyInfo struct {
	Number        int       `json:"number"` // of the key object
	Created       time.Time `json:"created"`
	Recipient     string    `json:"recipient"` // that new packs are sealed to
	Readers       []Reader  `json:"readers"`
	Signers       []string  `json:"signers"` // verifier keys
	CanRead       bool      `json:"can_read"`
	Authenticated bool      `json:"authenticated"` // see Repository.Authenticated
}

func (k *keyring) info() KeyInfo {
	c := k.current
	return KeyInfo{Number: c.Number, Created: c.Created, Recipient: c.Recipient, Readers: slices.Clone(c.Readers),
		Signers: slices.Clone(c.Signers), CanRead: k.secret != nil, Authenticated: k.authenticated}
}

// Keys reads the key objects anew.
func (r *Repository) Keys(ctx context.Context) (KeyInfo, error) {
	if err := r.reloadKeys(ctx); err != nil {
		return KeyInfo{}, err
	}
	return r.ring().info(), nil
}

// KeyObject is the newest key object as it is stored: what CreateOptions.KeyObject takes. It holds no secret in clear.
func (r *Repository) KeyObject() []byte { return slices.Clone(r.ring().current.raw) }

// Secret is what a second repository of the same source is created with. It is nil without a reader's key.
func (r *Repository) Secret() *Secret { return r.ring().secret }

// AddReader lets one more key read everything, old and new. It needs a reader's key.
func (r *Repository) AddReader(ctx context.Context, reader Reader) error {
	if _, err := age.ParseX25519Recipient(reader.Recipient); err != nil {
		return fmt.Errorf("add reader %s: %q is not an age recipient (age1…)", reader.Name, reader.Recipient)
	}
	return r.changeKeys(ctx, "add reader", func(s *statement, _ *Secret) error {
		for _, old := range s.Readers {
			if old == reader {
				return ledger.ErrNoChange
			}
			if old.Name == reader.Name {
				return fmt.Errorf("there is a reader %s already, with another key", reader.Name)
			}
		}
		s.Readers = append(s.Readers, reader)
		return nil
	})
}

// RemoveReader takes a key off the list. What that key could read until now it can still read, and packs to come too
// until Rotate. It needs a reader's key.
func (r *Repository) RemoveReader(ctx context.Context, name string) error {
	return r.changeKeys(ctx, "remove reader", func(s *statement, _ *Secret) error {
		i := slices.IndexFunc(s.Readers, func(r Reader) bool { return r.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no reader %s: %w", name, fs.ErrNotExist)
		}
		if len(s.Readers) == 1 {
			return errors.New("it is the last reader, nobody could read the repository any more")
		}
		s.Readers = slices.Delete(s.Readers, i, i+1)
		return nil
	})
}

// Rotate makes a new identity for packs to come; old ones stay for old packs. It needs a reader's key.
func (r *Repository) Rotate(ctx context.Context) error {
	return r.changeKeys(ctx, "rotate keys", func(_ *statement, secret *Secret) error { return secret.rotate() })
}

// AddSigner lets one more host sign. It needs a reader's key.
func (r *Repository) AddSigner(ctx context.Context, verifier string) error {
	return r.changeKeys(ctx, "add signer", func(s *statement, _ *Secret) error {
		if slices.Contains(s.Signers, verifier) {
			return ledger.ErrNoChange
		}
		s.Signers = append(s.Signers, verifier)
		return nil
	})
}

// RemoveSigner takes a host off the list of those that may sign. It needs a reader's key.
func (r *Repository) RemoveSigner(ctx context.Context, verifier string) error {
	return r.changeKeys(ctx, "remove signer", func(s *statement, _ *Secret) error {
		i := slices.Index(s.Signers, verifier)
		if i < 0 {
			return fmt.Errorf("there is no such signer: %w", fs.ErrNotExist)
		}
		if len(s.Signers) == 1 || verifier == r.signer.Verifier() {
			return errors.New("the last signer, and the one that is at work, cannot be removed")
		}
		s.Signers = slices.Delete(s.Signers, i, i+1)
		return nil
	})
}

// changeKeys makes the next key object.
func (r *Repository) changeKeys(ctx context.Context, what string, change func(*statement, *Secret) error) error {
	if err := r.reloadKeys(ctx); err != nil {
		return err
	}
	ring := r.ring()
	if ring.secret == nil {
		return &NoKeyError{Source: r.source, Need: what}
	}
	if r.signer == nil {
		return fmt.Errorf("%s of %s: the repository is opened for reading only", what, r.source)
	}
	previous := ring.secret.identity(ring.current.Recipient)
	if previous == nil {
		return fmt.Errorf("%s of %s: the newest key object cannot be opened with the given key", what, r.source)
	}
	next := ring.current.statement
	next.Number, next.Created = ring.highest+1, r.o.Now().UTC()
	next.Readers, next.Signers = slices.Clone(next.Readers), slices.Clone(next.Signers)
	secret := *ring.secret
	if err := change(&next, &secret); errors.Is(err, ledger.ErrNoChange) {
		return nil
	} else if err != nil {
		return fmt.Errorf("%s of %s: %w", what, r.source, err)
	}
	if !slices.Contains(next.Signers, r.signer.Verifier()) {
		return fmt.Errorf("%s of %s: %w", what, r.source, &UnlistedSignerError{Source: r.source, Verifier: r.signer.Verifier()})
	}
	k, err := makeKeyObject(next, &secret, previous, r.signer)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, r.source, err)
	}
	return r.addKeyObject(ctx, what, k)
}

// identity finds the identity behind a recipient.
func (s *Secret) identity(recipient string) *age.X25519Identity {
	for _, id := range s.identities {
		if id.Recipient().String() == recipient {
			return id
		}
	}
	return nil
}

// addKeyObject stores and lists a key object and makes it the current one.
func (r *Repository) addKeyObject(ctx context.Context, what string, k *keyObject) error {
	if err := putKeyObject(ctx, r.store, k); err != nil {
		return fmt.Errorf("%s of %s: %w", what, r.source, err)
	}
	err := r.protect(ctx, keyNames(k.Number)...)
	if err == nil {
		err = r.reloadKeys(ctx) // it may be the one that lists this host
	}
	if err == nil {
		err = r.listKeyObject(ctx, k)
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, r.source, err)
	}
	return r.reloadKeys(ctx)
}

func (r *Repository) listKeyObject(ctx context.Context, k *keyObject) error {
	leaves, err := keyLeaves(k)
	if err != nil {
		return err
	}
	_, err = r.append(ctx, func(head ledger.Checkpoint) (ledger.Change, error) {
		c := ledger.Change{Tips: head.Tips}
		for _, leaf := range leaves {
			if r.fold.objects[leaf.Name].SHA256 != leaf.SHA256 {
				c.Leaves = append(c.Leaves, leaf)
			}
		}
		if len(c.Leaves) == 0 {
			return c, ledger.ErrNoChange
		}
		return c, nil
	})
	return err
}

// CopyKeys brings the key objects of another repository of this source here that are newer than the ones here, so
// that both seal to the same identity. It needs no key.
func (r *Repository) CopyKeys(ctx context.Context, from *Repository) error {
	if err := r.reloadKeys(ctx); err != nil {
		return err
	}
	if err := from.reloadKeys(ctx); err != nil {
		return err
	}
	for _, k := range from.ring().accepted {
		if k.Number <= r.ring().highest {
			continue
		}
		if err := r.addKeyObject(ctx, "copy keys", k); err != nil {
			return err
		}
	}
	return r.sameKeys(from)
}

// sameKeys returns an error unless both repositories seal to the same identity.
func (r *Repository) sameKeys(from *Repository) error {
	if a, b := r.ring().current, from.ring().current; a.Recipient != b.Recipient {
		return fmt.Errorf("copy from %s to %s: they are sealed to different identities (key objects %d and %d): what is copied could not be read with the keys here",
			from.store, r.store, b.Number, a.Number)
	}
	return nil
}
