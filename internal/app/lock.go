package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// BusyError says that another process is at work in the folder.
type BusyError struct {
	Dir   string
	Owner string // "pid 123", "" if it did not say
}

func (e *BusyError) Error() string {
	who := "another backstay"
	if e.Owner != "" {
		who += " (" + e.Owner + ")"
	}
	return fmt.Sprintf("work in %s: %s is running there", e.Dir, who)
}

// Hint says how both can be had.
func (e *BusyError) Hint() string {
	return `status, history, restore, check, drill and backup work beside it; to start this one, end the other first`
}

// lock keeps a second process out of the state folder. The system drops it with the process, however that ends.
func lock(state string) (unlock func(), err error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	path := filepath.Join(state, "lock")
	l := flock.New(path, flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", state, err)
	}
	if !ok {
		// The owner's name lies beside the lock: where locks are mandatory nobody else can read the locked file.
		owner, _ := os.ReadFile(path + ".pid")
		return nil, &BusyError{Dir: filepath.Dir(state), Owner: strings.TrimSpace(string(owner))}
	}
	if err := os.WriteFile(path+".pid", fmt.Appendf(nil, "pid %d\n", os.Getpid()), 0o600); err != nil {
		_ = l.Unlock()
		return nil, fmt.Errorf("lock %s: %w", state, err)
	}
	return func() {
		_ = os.Remove(path + ".pid")
		_ = l.Unlock()
	}, nil
}
