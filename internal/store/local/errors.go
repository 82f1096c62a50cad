package local

import (
	"errors"
	"fmt"
	"syscall"
)

// fullError is a syscall.ENOSPC with advice.
type fullError struct{ err error }

func (e *fullError) Error() string { return e.err.Error() }
func (e *fullError) Unwrap() error { return e.err }
func (e *fullError) Hint() string {
	return "free some space on that disk, or give the repository another one; nothing half-written was left behind"
}

// Retryable is false: a full disk does not empty itself within seconds.
func (e *fullError) Retryable() bool { return false }

// full marks an err that says that the disk, or the user's share of it, is full.
func full(err error) error {
	var marked *fullError
	if !diskFull(err) || errors.As(err, &marked) {
		return err
	}
	if !errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: %w", err, syscall.ENOSPC)
	}
	return &fullError{err}
}

// goneError says that the folder is not the one that this process wrote to.
type goneError struct{ dir, detail string }

func (e *goneError) Error() string { return "folder " + e.dir + " " + e.detail }

// Retryable is false: a person has to bring it back.
func (e *goneError) Retryable() bool { return false }
func (e *goneError) Hint() string {
	return "mount the disk, or move the folder back; until then nothing is written there"
}

// unfitError says that a file system has no way to create a name without replacing one.
type unfitError struct{ err error }

func (e *unfitError) Error() string   { return "move into place without replacing: " + e.err.Error() }
func (e *unfitError) Unwrap() error   { return e.err }
func (e *unfitError) Retryable() bool { return false }
func (e *unfitError) Hint() string {
	return "this file system has neither renames that never replace nor hard links; use a folder on another one (ext4, XFS, APFS, NTFS)"
}
