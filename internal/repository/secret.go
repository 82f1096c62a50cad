package repository

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
)

// maxWrapped is the most plain bytes that a wrapped secret may have: some thousand rotations.
const maxWrapped = 1 << 20

const (
	macInfo     = "backstay key object v0"
	digestLabel = "# digest-key: "
)

// Secret is what the key objects of a source wrap: the identities that open its packs, and the key of its digests.
// All repositories of a source share it.
type Secret struct {
	identities []*age.X25519Identity // newest first
	digestKey  [32]byte
}

// NewSecret makes the secret of a new source.
func NewSecret() (*Secret, error) {
	s := &Secret{}
	_, err := rand.Read(s.digestKey[:])
	if err == nil {
		err = s.rotate()
	}
	if err != nil {
		return nil, fmt.Errorf("make secret: %w", err)
	}
	return s, nil
}

// rotate adds a new identity, for packs to come.
func (s *Secret) rotate() error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	s.identities = slices.Insert(slices.Clone(s.identities), 0, id)
	return nil
}

func (s *Secret) recipient() string { return s.identities[0].Recipient().String() }

func (s *Secret) ageIdentities() []age.Identity {
	var list []age.Identity
	for _, id := range s.identities {
		list = append(list, id)
	}
	return list
}

// text is an age identity file, so that stock age takes it as it is.
func (s *Secret) text() string {
	var b strings.Builder
	b.WriteString("# identities of the source, newest first\n")
	for _, id := range s.identities {
		fmt.Fprintf(&b, "%s\n", id)
	}
	b.WriteString(digestLabel + base64.StdEncoding.EncodeToString(s.digestKey[:]) + "\n")
	return b.String()
}

// parseSecret reads what text wrote. Its errors quote nothing of it.
func parseSecret(text string) (*Secret, error) {
	s := &Secret{}
	found := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if key, ok := strings.CutPrefix(line, digestLabel); ok {
			b, err := base64.StdEncoding.DecodeString(key)
			if err != nil || len(b) != len(s.digestKey) {
				return nil, fmt.Errorf("parse wrapped secret: its digest key is malformed")
			}
			copy(s.digestKey[:], b)
			found = true
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, fmt.Errorf("parse wrapped secret: identity %d is malformed", len(s.identities)+1)
		}
		s.identities = append(s.identities, id)
	}
	if len(s.identities) == 0 || !found {
		return nil, fmt.Errorf("parse wrapped secret: it holds no identity or no digest key")
	}
	return s, nil
}

// wrap seals the secret to the readers.
func (s *Secret) wrap(readers []Reader) ([]byte, error) {
	var recipients []age.Recipient
	for _, r := range readers {
		recipient, err := age.ParseX25519Recipient(r.Recipient)
		if err != nil {
			return nil, fmt.Errorf("wrap secret for %s: %q is not an age recipient (age1…)", r.Name, r.Recipient)
		}
		recipients = append(recipients, recipient)
	}
	var buf bytes.Buffer
	w, err := age.Encrypt(&buf, recipients...)
	if err == nil {
		_, err = io.WriteString(w, s.text())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("wrap secret: %w", err)
	}
	return buf.Bytes(), nil
}

// unwrap opens a wrapped secret with a reader's keys.
func unwrap(wrapped []byte, keys []age.Identity) (*Secret, error) {
	r, err := age.Decrypt(bytes.NewReader(wrapped), keys...)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxWrapped+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxWrapped {
		return nil, fmt.Errorf("parse wrapped secret: it is too long")
	}
	return parseSecret(string(text))
}

// mac authenticates a statement with an identity.
func mac(id *age.X25519Identity, statement []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, []byte(id.String()), nil, macInfo, sha256.Size)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	h.Write(statement)
	return h.Sum(nil), nil
}
