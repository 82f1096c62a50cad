package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// DamagedError says that the file is no catalog any more.
type DamagedError struct {
	Path  string
	Cause error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("catalog %s is damaged: %v", e.Path, e.Cause)
}

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Cause }

// Hint says what happens next.
func (e *DamagedError) Hint() string {
	return "nothing is lost: it is an index; with its next start the daemon moves it aside and makes it again from the repositories"
}

// NewerError says that a newer version of Backstay made the file.
type NewerError struct {
	Path      string
	Have, Max int // versions of the schema
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("catalog %s has version %d, and this Backstay knows %d", e.Path, e.Have, e.Max)
}

// Hint says what happens next.
func (e *NewerError) Hint() string {
	return "use the version of Backstay that the daemon runs; an older daemon moves the file aside and makes it again from the repositories"
}

// marker stands beside a file in which damage was met.
const marker = ".damaged"

// failed wraps an error, and remembers damage, so that the next Open moves the file aside even if it begins well.
func (c *Catalog) failed(verb string, err error) error {
	if err == nil {
		return nil
	}
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code()&0xff == lib.SQLITE_CORRUPT || e.Code()&0xff == lib.SQLITE_NOTADB) {
		err = c.damaged(err)
	}
	return fmt.Errorf("%s: %w", verb, err)
}

func (c *Catalog) damaged(cause error) error {
	_ = os.WriteFile(c.path+marker, []byte(cause.Error()+"\n"), 0o600) // without it the damage is met again
	return &DamagedError{Path: c.path, Cause: cause}
}

// aside moves a file away with what belongs to it, and removes what was moved away before. It returns the new name.
func aside(path string, now time.Time) (string, error) {
	old, _ := filepath.Glob(path + ".aside-*")
	to := path + ".aside-" + now.UTC().Format("20060102T150405.000")
	for _, suffix := range []string{"-wal", "-shm", ""} {
		err := os.Rename(path+suffix, to+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("move the catalog aside: %w", err)
		}
	}
	if err := os.Remove(path + marker); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("move the catalog aside: %w", err)
	}
	for _, name := range slices.Compact(old) {
		_ = os.Remove(name) // an index that nobody needs
	}
	return to, nil
}
