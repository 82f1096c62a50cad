package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// ReadKey reads an age identity file.
func ReadKey(path string) ([]age.Identity, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &KeyError{Err: fmt.Errorf("read key %s: %w", path, fs.ErrNotExist), Advice: "name the file with --key; protect made it as backstay.key, and advised to move it away"}
	}
	if err != nil {
		return nil, &KeyError{Err: fmt.Errorf("read key: %w", err), Advice: "name a file that holds a line that begins with AGE-SECRET-KEY-1"}
	}
	ids, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil {
		// The parser's error may quote the line, and the line may be the secret.
		return nil, &KeyError{Err: fmt.Errorf("read key %s: it holds no age identity", path), Advice: "a key file holds a line that begins with AGE-SECRET-KEY-1"}
	}
	return ids, nil
}

// recipientOf is the public half of the key in the file at path.
func recipientOf(path string) (string, error) {
	ids, err := ReadKey(path)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		if x, ok := id.(*age.X25519Identity); ok {
			return x.Recipient().String(), nil
		}
	}
	return "", &KeyError{Err: fmt.Errorf("read key %s: it holds no X25519 identity", path), Advice: "make one with age-keygen"}
}

// makeKey makes the key file at path and returns its public half. It never replaces a file.
func makeKey(path string, now time.Time) (string, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	var b strings.Builder
	b.WriteString("# The key that reads these backups. Keep a copy where this host cannot take it with it; without it nothing can be restored.\n")
	b.WriteString("# Only restore, drill and check --deep need it. Stock age reads this file: age -d -i backstay.key\n")
	fmt.Fprintf(&b, "# created: %s\n# public key: %s\n%s\n", now.UTC().Format(time.RFC3339), id.Recipient(), id)
	if err := atomicfile.CreateOnly(path, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("write key %s: %w", path, err)
	}
	return id.Recipient().String(), nil
}
