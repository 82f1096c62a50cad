package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// replayError tells recovery who is to blame: what was backed up, or this host.
type replayError struct {
	err     error
	damaged bool
}

func (e *replayError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *replayError) Unwrap() error { return e.err }

// Damaged reports whether the backup is bad.
func (e *replayError) Damaged() bool { return e.damaged }

// damaged is an error about what was backed up.
func damaged(format string, args ...any) error {
	return &replayError{err: fmt.Errorf(format, args...), damaged: true}
}

// blamed gives each error of a replay its blame: what is not plainly damage of the backup is this host's.
func blamed(err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*replayError](err); ok {
		return &replayError{err: err, damaged: known.damaged}
	}
	bad := false
	if e, ok := errors.AsType[*server.ExitError](err); ok {
		bad = refusesData(e.Reason)
	}
	return &replayError{err: err, damaged: bad}
}

// refusals are messages with which a server ends that cannot make sense of data or log.
var refusals = []string{
	"could not locate a valid checkpoint record", "could not locate required checkpoint record", "could not find redo location",
	"WAL contains references to invalid pages", "invalid page in block", "invalid data in file \"backup_label\"",
	"incorrect checksum in control file", "requested timeline", "WAL ends before", "backup_label contains data inconsistent",
	"unexpected timeline ID", "recovery ended before configured recovery target", "requested recovery stop point is before",
	"invalid checkpoint record", "invalid redo", "could not access status of transaction",
}

func refusesData(reason string) bool {
	for _, r := range refusals {
		if strings.Contains(reason, r) {
			return true
		}
	}
	return false
}
