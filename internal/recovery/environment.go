package recovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Environment reports whether an error is the fault of this host or of the way to the store, and says nothing about
// the backup: no room, no permission, no memory, no time, no connection; or the engine says of itself that nothing is
// damaged, by a method Damaged.
func Environment(err error) bool {
	if d, ok := errors.AsType[interface {
		error
		Damaged() bool
	}](err); ok {
		return !d.Damaged()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	if _, ok := errors.AsType[*NoSpaceError](err); ok {
		return true
	}
	if e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && e.Timeout() {
		return true
	}
	for _, fault := range []error{
		fs.ErrPermission, syscall.ENOSPC, syscall.EROFS, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.EAGAIN,
	} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}

// NoSpaceError says that the disk has no room for what is to be restored.
type NoSpaceError struct {
	Dir  string
	Need int64 // bytes
	Free int64 // bytes
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("restore into %s: it needs %s, and the disk has %s free", e.Dir, size(e.Need), size(e.Free))
}

// Hint says what helps.
func (e *NoSpaceError) Hint() string { return "make room, or choose a folder on another disk" }

// FullError says that the disk filled up on the way: the log added more to the base than there was room for.
type FullError struct {
	Dir string
	Err error
}

func (e *FullError) Error() string {
	return fmt.Sprintf("restore into %s: the disk is full: %v", e.Dir, e.Err)
}

// Unwrap gives the cause.
func (e *FullError) Unwrap() error { return e.Err }

// Hint says what helps.
func (e *FullError) Hint() string {
	return "make room, or choose a folder on another disk; what was restored until then has been removed again"
}
