package cli

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/recovery"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/spool"
)

// Exit codes. exits is what people are told about them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitConfig      = 3
	exitNotFound    = 4
	exitUnreachable = 5
	exitDamage      = 6
	exitKey         = 7
	exitBusy        = 8
	exitEnvironment = 9
	exitSource      = 10
	exitStore       = 11
	exitCheck       = 12
	exitDiffers     = 13
	exitInterrupted = 130
)

var exits = []struct {
	code    int
	name    string
	meaning string
}{
	{exitOK, "ok", "What was asked for is done."},
	{exitFailed, "failed", "It failed for a reason that has no code of its own; the error line says which."},
	{exitUsage, "usage", "The command line is wrong."},
	{exitConfig, "configuration", "backstay.yaml, or a value given instead of it, is wrong."},
	{exitNotFound, "not found", "A source, repository, base, file or folder that was named is not there."},
	{exitUnreachable, "unreachable target", "The moment lies outside every recovery window; the hint names the nearest ones."},
	{exitDamage, "damage", "Something in a repository, a spool or restored data is not as it was written."},
	{exitKey, "key", "No key, or the wrong key, for what is to be read."},
	{exitBusy, "busy", "Someone else is at it: another daemon of this folder, or of this source."},
	{exitEnvironment, "environment", "This host does not allow it: disk full, no permission, folder not empty, program missing."},
	{exitSource, "source", "The source is not there, is not what the URL says, is locked, or does not allow it."},
	{exitStore, "store", "A store cannot be reached, or refuses."},
	{exitCheck, "check failed", "Restored data is sound, and does not answer a check of its owner as backstay.yaml expects."},
	{exitDiffers, "data differs", "Restored data is sound, and is not what a digest says that the source had at that position."},
	{exitInterrupted, "interrupted", "Ctrl-C or SIGTERM came before it was done."},
}

// exitCode finds the code of an error by what it is, from the most specific on.
func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	for _, rule := range exitRules {
		if rule.is(err) {
			return rule.code
		}
	}
	return exitFailed
}

var exitRules = []struct {
	code int
	is   func(error) bool
}{
	{exitInterrupted, func(err error) bool { return errors.Is(err, context.Canceled) }},
	{exitConfig, isA[*config.Error]},
	{exitUsage, isA[*recovery.UnknownTargetError]},
	{exitUsage, isA[*recovery.BadTargetError]},
	{exitUnreachable, isA[*recovery.NoCommitError]},
	{exitUnreachable, isA[*history.UnreachableError]},
	{exitKey, isA[*app.KeyError]},
	{exitKey, isA[*repository.WrongKeyError]},
	{exitKey, isA[*repository.NoKeyError]},
	{exitBusy, isA[*app.BusyError]},
	{exitBusy, isA[*app.RivalError]},
	{exitBusy, isA[*recovery.BusyError]},
	{exitEnvironment, isA[*recovery.NotEmptyError]},
	{exitEnvironment, isA[*recovery.NotFolderError]},
	{exitEnvironment, isA[*recovery.NoSpaceError]},
	{exitEnvironment, func(err error) bool { return errors.Is(err, syscall.ENOSPC) }},
	{exitDamage, isA[*recovery.DamageError]},
	{exitDamage, isA[*recovery.MissedError]},
	{exitDamage, isA[*repository.CorruptError]},
	{exitDamage, isA[*repository.UnlistedError]},
	{exitDamage, isA[*repository.KeyError]},
	{exitDamage, isA[*ledger.RollbackError]},
	{exitDamage, isA[*ledger.UntrustedError]},
	{exitDamage, isA[*spool.CorruptError]},
	{exitBusy, isA[*app.PortError]},
	{exitBusy, isA[*app.HeldError]},
	{exitConfig, isA[*app.RefusedError]},
	{exitEnvironment, isA[*app.PassportError]},
	{exitSource, isA[*app.SourceError]},
	{exitSource, isA[*app.ClusterError]},
	{exitStore, isA[*app.StoreError]},
	{exitStore, isA[*repository.NoLockError]},
	{exitEnvironment, func(err error) bool { return errors.Is(err, fs.ErrPermission) }},
	{exitNotFound, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// usageError says that the command line is wrong.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
func (e *usageError) Hint() string  { return e.hint }
func (e *usageError) ExitCode() int { return exitUsage }

// notFoundError says that something that was named is not there.
type notFoundError struct {
	err  error
	hint string
}

func (e *notFoundError) Error() string { return e.err.Error() }
func (e *notFoundError) Unwrap() error { return e.err }
func (e *notFoundError) Hint() string  { return e.hint }
func (e *notFoundError) ExitCode() int { return exitNotFound }

// codedError gives an error a code and a hint.
type codedError struct {
	err  error
	hint string
	code int
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }
func (e *codedError) Hint() string  { return e.hint }
func (e *codedError) ExitCode() int { return e.code }

var errInterrupted = &codedError{err: errors.New("interrupted"), code: exitInterrupted}
