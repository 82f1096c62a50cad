package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// newest is the identity that new objects are sealed to, for age.
func (k *keyring) newest() []age.Identity {
	if id := k.secret.identity(k.current.Recipient); id != nil {
		return []age.Identity{id}
	}
	return nil
}

// isCurrent reports whether the newest identity opens an age file, of which the beginning is enough.
func (r *Repository) isCurrent(sealed []byte) (bool, error) {
	header, err := age.ExtractHeader(bytes.NewReader(sealed))
	if err == nil {
		_, err = age.DecryptHeader(header, r.ring().newest()...)
	}
	var other *age.NoIdentityMatchError
	if errors.As(err, &other) {
		return false, nil
	}
	return err == nil, err
}

// segmentIsCurrent is isCurrent of a segment.
func (r *Repository) segmentIsCurrent(ctx context.Context, o Object) (bool, error) {
	name := r.object(o.Name)
	body, err := r.store.Open(ctx, name, 0, min(o.Size, heldBytes))
	if err != nil {
		return false, missing(name, err)
	}
	defer body.Close()
	head, err := io.ReadAll(body)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	current, err := r.isCurrent(head)
	if err != nil {
		return false, &CorruptError{Object: name, Detail: "it is no age file: " + err.Error()}
	}
	return current, nil
}

// resealed is an object sealed anew, in a temporary file.
type resealed struct {
	tempFile
	size int64
	sum  string
}

func (s *resealed) open() (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(s.File, 0, s.size)), nil
}

// reseal decrypts an object that must be as the ledger lists it, and seals it to the newest identity.
func (r *Repository) reseal(ctx context.Context, o Object) (*resealed, error) {
	name := r.object(o.Name)
	body, err := r.store.Open(ctx, name, 0, o.Size+1)
	if err != nil {
		return nil, missing(name, err)
	}
	defer body.Close()
	f, err := newTempFile()
	if err != nil {
		return nil, fmt.Errorf("seal %s anew: %w", name, err)
	}
	out, sum := &resealed{tempFile: f}, sha256.New()
	count := counter{func(n int64) { out.size += n }}
	if err := r.resealStream(expect(body, name, o.Size, o.SHA256), io.MultiWriter(f, sum, count)); err != nil {
		return nil, errors.Join(fmt.Errorf("seal %s anew: %w", name, err), f.Close())
	}
	out.sum = hex.EncodeToString(sum.Sum(nil))
	return out, nil
}

// resealBytes is reseal of what is in memory.
func (r *Repository) resealBytes(sealed []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := r.resealStream(bytes.NewReader(sealed), &b); err != nil {
		return nil, fmt.Errorf("seal a list of files anew: %w", err)
	}
	return b.Bytes(), nil
}

func (r *Repository) resealStream(from io.Reader, to io.Writer) error {
	keys := r.ring()
	recipient, err := age.ParseX25519Recipient(keys.current.Recipient)
	if err != nil {
		return err
	}
	plain, err := age.Decrypt(from, keys.secret.ageIdentities()...)
	if err != nil {
		return err
	}
	w, err := age.Encrypt(to, recipient)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, plain); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, from); err != nil { // what is behind its end, and whether all of it is as listed
		return err
	}
	return w.Close()
}

// digested is the SHA-256 of plain bytes, or why there is none.
type digested struct {
	sum [sha256.Size]byte
	err error
}

// plainDigest reads an object as it is in the store, which must be as it is listed, and digests what it holds.
func (r *Repository) plainDigest(ctx context.Context, o Object, identities []age.Identity) digested {
	name := r.object(o.Name)
	body, err := r.store.Open(ctx, name, 0, o.Size+1)
	if err != nil {
		return digested{err: missing(name, err)}
	}
	defer body.Close()
	return digestPlain(expect(body, name, o.Size, o.SHA256), identities)
}

// digestPlain digests what an age file holds.
func digestPlain(sealed io.Reader, identities []age.Identity) (d digested) {
	plain, err := age.Decrypt(sealed, identities...)
	if err != nil {
		return digested{err: err}
	}
	sum := sha256.New()
	if _, err = io.Copy(sum, plain); err == nil {
		_, err = io.Copy(io.Discard, sealed)
	}
	copy(d.sum[:], sum.Sum(nil))
	d.err = err
	return d
}

// samePlain is an error unless both are there and equal; object is what takes the place of the other.
func samePlain(old, anew digested, object string) error {
	if err := errors.Join(old.err, anew.err); err != nil {
		return fmt.Errorf("compare %s with what it takes the place of: %w", object, err)
	}
	if old.sum != anew.sum {
		return &CorruptError{Object: object, Detail: "it does not hold what it was made from", Want: hex.EncodeToString(old.sum[:]), Got: hex.EncodeToString(anew.sum[:])}
	}
	return nil
}
