//go:build unix

package app

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// hold keeps other agents of this host away from a data directory, which it makes where it is missing, until release is called. The lock is on the
// directory itself: it is the same one for whoever may act on the server, by whatever name and with whatever folders for temporary files, nobody else can
// take it, nothing has to be written, and the system drops it with the process.
func hold(data string) (release func(), err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("hold the server in %s: %w", data, err)
	}
	dir, err := os.Open(data)
	if err != nil {
		return nil, fmt.Errorf("hold the server in %s: %w", data, err)
	}
	switch err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == unix.EWOULDBLOCK:
		held := &HeldError{Data: data, Owner: lockedBy(dir)}
		dir.Close()
		return nil, held
	case err != nil:
		dir.Close()
		return nil, fmt.Errorf("hold the server in %s: %w", data, err)
	}
	return func() { dir.Close() }, nil
}
