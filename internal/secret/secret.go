// Package secret finds secrets where the configuration says they are, so that none stands in it.
//
// A reference is a scheme and a name:
//
//	env:NAME                 a variable of the process's environment
//	file:PATH                the content of a file, without the line end; others may not be able to read it
//	command:PROGRAM ARG…     what a program prints, split at blanks, without a shell
//	credential:NAME          a file in systemd's $CREDENTIALS_DIRECTORY
//	vault:PATH#FIELD         a field of a secret in Vault or OpenBao (KV version 2 or 1), at $VAULT_ADDR with $VAULT_TOKEN
//
// Errors name the reference, never what was found there.
package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/systemd"
)

// finders are the schemes.
var finders = map[string]func(context.Context, string) (string, error){
	"env": fromEnvironment, "file": fromFile, "command": fromCommand, "credential": fromCredential, "vault": fromVault,
}

// Schemes lists what a reference may begin with.
func Schemes() []string { return []string{"env", "file", "command", "credential", "vault"} }

// IsReference reports whether s says where a secret is, rather than being one.
func IsReference(s string) bool {
	scheme, _, ok := strings.Cut(s, ":")
	return ok && finders[scheme] != nil
}

// limit bounds a secret, and how long it takes to get one.
const (
	limit    = 1 << 20
	patience = 15 * time.Second
)

// Find returns the secret behind a reference.
func Find(ctx context.Context, reference string) (string, error) {
	scheme, name, ok := strings.Cut(reference, ":")
	find := finders[scheme]
	if !ok || find == nil {
		return "", fmt.Errorf("find secret: a reference begins with one of %s, and a colon", strings.Join(Schemes(), ", "))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := find(ctx, name)
	if err == nil && value == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", fmt.Errorf("find secret %s: %w", reference, err)
	}
	return value, nil
}

func fromEnvironment(_ context.Context, name string) (string, error) {
	value, ok := os.LookupEnv(name)
	if !ok {
		return "", errors.New("the environment has no such variable")
	}
	return value, nil
}

func fromFile(_ context.Context, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", withoutPath(err)
	}
	if info.Size() > limit {
		return "", fmt.Errorf("the file has %d bytes, more than a secret has", info.Size())
	}
	if err := private(info); err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", withoutPath(err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func fromCredential(_ context.Context, name string) (string, error) {
	b, err := systemd.Credential(name)
	return strings.TrimRight(string(b), "\r\n"), err
}

func fromCommand(ctx context.Context, line string) (string, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return "", errors.New("it names no program")
	}
	out := &bounded{}
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Stdout, c.WaitDelay = out, time.Second
	err := c.Run() // what it says on its error output may hold the secret
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("the program did not end within %s", patience)
	case err != nil:
		return "", withoutPath(err)
	case out.full:
		return "", errors.New("the program printed more than a secret has")
	}
	return strings.TrimRight(out.b.String(), "\r\n"), nil
}

// bounded keeps what a secret may have of what is written.
type bounded struct {
	b    bytes.Buffer
	full bool
}

func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > limit {
		w.full = true
		return len(p), nil
	}
	return w.b.Write(p)
}

// withoutPath leaves out the path that the reference names already.
func withoutPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
