package ledger

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/mod/sumdb/note"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// Signer is a host's key to sign checkpoints with: Ed25519, in the form of signed notes.
type Signer struct {
	key      note.Signer
	verifier string
}

// NewSigner makes a key. name stands in every signature; it may not hold blanks or a plus sign.
func NewSigner(name string) (*Signer, error) {
	signer, _, err := newSigner(name)
	return signer, err
}

func newSigner(name string) (*Signer, string, error) {
	secret, verifier, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, "", fmt.Errorf("make signer %q: %w", name, err)
	}
	key, err := note.NewSigner(secret)
	if err != nil {
		return nil, "", fmt.Errorf("make signer %q: the name may not be empty or hold blanks or a plus sign", name)
	}
	return &Signer{key, verifier}, secret, nil
}

// OpenSigner loads the key in the file path, or makes one called name there, with mode 0600, if there is none.
func OpenSigner(path, name string) (*Signer, error) {
	signer, err := loadSigner(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return signer, err
	}
	signer, secret, err := newSigner(name)
	if err != nil {
		return nil, err
	}
	err = atomicfile.CreateOnly(path, []byte(secret+"\n"+signer.verifier+"\n"), 0o600)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		return loadSigner(path)
	}
	if err != nil {
		return nil, fmt.Errorf("create signer: %w", err)
	}
	return signer, nil
}

func loadSigner(path string) (*Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load signer: %w", err)
	}
	// The file's content is secret, so no error quotes it.
	secret, verifier, _ := bytes.Cut(bytes.TrimSpace(data), []byte("\n"))
	key, err := note.NewSigner(string(secret))
	if err != nil {
		return nil, fmt.Errorf("load signer %s: it holds no signing key", path)
	}
	v, err := note.NewVerifier(string(verifier))
	if err != nil || v.Name() != key.Name() || v.KeyHash() != key.KeyHash() {
		return nil, fmt.Errorf("load signer %s: its second line is not the verifier key of the first", path)
	}
	return &Signer{key, string(verifier)}, nil
}

// Name is what the key is called.
func (s *Signer) Name() string { return s.key.Name() }

// Verifier is the public half, NAME+HASH+KEY: what others check signatures with.
func (s *Signer) Verifier() string { return s.verifier }

// Sign returns text, which must end in a newline, as a signed note.
func (s *Signer) Sign(text string) ([]byte, error) {
	b, err := note.Sign(&note.Note{Text: text}, s.key)
	if err != nil {
		return nil, fmt.Errorf("sign as %s: %w", s.Name(), err)
	}
	return b, nil
}

// VerifyNote checks a signed note against verifier keys and returns its text and the name of a key that signed it.
func VerifyNote(msg []byte, verifiers []string) (text, signer string, err error) {
	list, err := parseVerifiers(verifiers)
	if err != nil {
		return "", "", err
	}
	return verifyNote(msg, note.VerifierList(list...))
}

func verifyNote(msg []byte, known note.Verifiers) (text, signer string, err error) {
	n, err := note.Open(msg, known)
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified) && len(unverified.Note.UnverifiedSigs) > 0:
		return "", "", fmt.Errorf("it is signed by %s, a key that is not trusted", unverified.Note.UnverifiedSigs[0].Name)
	case err != nil:
		return "", "", fmt.Errorf("its signature is wrong: %w", err)
	}
	return n.Text, n.Sigs[0].Name, nil
}

func parseVerifiers(keys []string) ([]note.Verifier, error) {
	var list []note.Verifier
	seen := map[string]bool{}
	for _, k := range keys {
		if seen[k] {
			continue
		}
		seen[k] = true
		v, err := note.NewVerifier(k)
		if err != nil {
			return nil, fmt.Errorf("read verifier key %q: %w", k, err)
		}
		list = append(list, v)
	}
	return list, nil
}

// Signed reports whether s signed the checkpoint.
func (s *Signer) Signed(c Checkpoint) bool {
	_, _, err := VerifyNote(c.Note, []string{s.verifier})
	return err == nil
}
