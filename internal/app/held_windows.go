package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// hold keeps other agents of this user away from a data directory, until release is called. The system drops it with the process.
func hold(data string) (release func(), err error) {
	sum := sha256.Sum256([]byte(data))
	l := flock.New(filepath.Join(os.TempDir(), "backstay-agent-"+hex.EncodeToString(sum[:8])))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("hold the server in %s: %w", data, err)
	}
	if !ok {
		return nil, &HeldError{Data: data}
	}
	return func() { _ = l.Unlock() }, nil
}
