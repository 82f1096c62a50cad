package systemd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxCredential is more than systemd hands over.
const maxCredential = 1 << 20

// CredentialError says that a credential of the unit could not be had.
type CredentialError struct {
	Name string
	Err  error
}

func (e *CredentialError) Error() string {
	return fmt.Sprintf("read credential %q: %v", e.Name, e.Err)
}

func (e *CredentialError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *CredentialError) Hint() string {
	return fmt.Sprintf("hand it over in the unit: LoadCredential=%s:/path/to/the/secret, or LoadCredentialEncrypted=", e.Name)
}

var (
	errNoDirectory = errors.New("the service was started without credentials")
	errName        = errors.New("it is not the name of a credential")
	errLarge       = errors.New("it is larger than 1 MiB")
)

// Credential is what the unit hands over under name, byte for byte; a trailing line break is the file's own. A CredentialError
// that wraps fs.ErrNotExist says that there is none.
func Credential(name string) ([]byte, error) {
	data, err := readCredential(os.Getenv("CREDENTIALS_DIRECTORY"), name)
	if err != nil {
		return nil, &CredentialError{Name: name, Err: err}
	}
	return data, nil
}

func readCredential(dir, name string) ([]byte, error) {
	if name == "" || name == "." || name == ".." || name != filepath.Base(name) {
		return nil, errName
	}
	if dir == "" {
		return nil, fmt.Errorf("%w: %w", errNoDirectory, fs.ErrNotExist)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCredential+1))
	if err == nil && len(data) > maxCredential {
		return nil, errLarge
	}
	return data, err
}
