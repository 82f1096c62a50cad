package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/repository"
)

// Key is what a key file holds: identities that can read, and the verifier keys of the repositories that it is for.
// Whoever knows the public half of a key can make a repository that the key opens; by the verifier keys it is seen that
// it is not the right one, also on a machine that never saw either.
type Key struct {
	File       string
	Identities []age.Identity
	Pins       []string // empty in a file that was not made here
}

// pinLabel begins the comment that holds a verifier key.
const pinLabel = "# repository key: "

// ReadKey reads an age identity file.
func ReadKey(path string) (Key, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Key{}, &KeyError{Err: fmt.Errorf("read key %s: %w", path, fs.ErrNotExist), Advice: "name the file with --key; protect made it as backstay.key, and advised to move it away"}
	}
	if err != nil {
		return Key{}, &KeyError{Err: fmt.Errorf("read key: %w", err), Advice: "name a file that holds a line that begins with AGE-SECRET-KEY-1"}
	}
	ids, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil {
		// The parser's error may quote the line, and the line may be the secret.
		return Key{}, &KeyError{Err: fmt.Errorf("read key %s: it holds no age identity", path), Advice: "a key file holds a line that begins with AGE-SECRET-KEY-1"}
	}
	return Key{File: path, Identities: ids, Pins: pinsIn(data)}, nil
}

func pinsIn(data []byte) []string {
	var pins []string
	for line := range strings.Lines(string(data)) {
		if pin, ok := strings.CutPrefix(strings.TrimSpace(line), pinLabel); ok {
			pins = append(pins, strings.TrimSpace(pin))
		}
	}
	return pins
}

// addPin writes a verifier key into the key file at path, if that is there and does not hold it.
func addPin(path, verifier string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && slices.Contains(pinsIn(data), verifier) {
		return nil
	}
	if err == nil {
		err = atomicfile.Write(path, append([]byte(pinLabel+verifier+"\n"), data...), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the repository key into %s: %w", path, err)
	}
	return nil
}

// recipientOf is the public half of the key in the file at path.
func recipientOf(path string) (string, error) {
	key, err := ReadKey(path)
	if err != nil {
		return "", err
	}
	for _, id := range key.Identities {
		if x, ok := id.(*age.X25519Identity); ok {
			return x.Recipient().String(), nil
		}
	}
	return "", &KeyError{Err: fmt.Errorf("read key %s: it holds no X25519 identity", path), Advice: "make one with age-keygen"}
}

// makeKey makes the key file at path and returns its public half. It never replaces a file. verifier is the key that
// this host signs repositories with.
func makeKey(path string, now time.Time, verifier string) (string, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	var b strings.Builder
	b.WriteString("# The key that reads these backups. Keep a copy where this host cannot take it with it; without it nothing can be restored.\n")
	b.WriteString("# Only restore, drill and check --deep need it. Stock age reads this file: age -d -i backstay.key\n")
	b.WriteString("# A repository that no repository key named here has signed is refused: somebody else made it.\n")
	fmt.Fprintf(&b, "%s%s\n# created: %s\n# public key: %s\n%s\n", pinLabel, verifier, now.UTC().Format(time.RFC3339), id.Recipient(), id)
	if err := atomicfile.CreateOnly(path, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("write key %s: %w", path, err)
	}
	return id.Recipient().String(), nil
}

// PinError says that a repository opens with the key at hand and is signed by somebody whom the key file does not name.
type PinError struct {
	File string
	Err  error
}

func (e *PinError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *PinError) Unwrap() error { return e.Err }

// Hint says what to do if it is the right one all the same.
func (e *PinError) Hint() string {
	return fmt.Sprintf("somebody else made this repository, or put it in the place of yours: do not trust it. If another host of yours made it, \"backstay key show\" there names its key; add that to %s as a line %q", e.File, pinLabel+"…")
}

// foreign tells a repository that the key's own pins refuse from other trouble.
func (k Key) foreign(err error) error {
	var refused *repository.KeyError
	if len(k.Pins) > 0 && errors.As(err, &refused) {
		return &PinError{File: k.File, Err: err}
	}
	return err
}
