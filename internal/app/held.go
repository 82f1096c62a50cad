package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// HeldError says that another process is the agent of a server on this host.
type HeldError struct{ Data, Owner string }

func (e *HeldError) Error() string {
	return fmt.Sprintf("the server in %s is held by another agent: %s", e.Data, e.Owner)
}

// Hint says what to do about it.
func (e *HeldError) Hint() string {
	return "a server belongs to one cluster, and has one agent: end the other one, or take the member out of one of the files"
}

// hold keeps other agents of this host away from a data directory, until release is called. The system drops it with the process.
func hold(data, owner string) (release func(), err error) {
	sum := sha256.Sum256([]byte(data))
	path := filepath.Join(os.TempDir(), "backstay-agent-"+hex.EncodeToString(sum[:8]))
	l := flock.New(path, flock.SetPermissions(0o644))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("hold the server in %s: %w", data, err)
	}
	if !ok {
		said, _ := os.ReadFile(path + ".owner") // who it is helps, and is not needed
		return nil, &HeldError{Data: data, Owner: strings.TrimSpace(string(said))}
	}
	if err := os.WriteFile(path+".owner", []byte(owner+"\n"), 0o644); err != nil {
		_ = l.Unlock()
		return nil, fmt.Errorf("hold the server in %s: %w", data, err)
	}
	return func() {
		_ = os.Remove(path + ".owner")
		_ = l.Unlock() // the next agent makes the file anew, or takes this one
	}, nil
}
