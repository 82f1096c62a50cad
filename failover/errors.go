package failover

import (
	"fmt"
	"strings"
	"time"
)

// NoPrimaryError says that no server could be written to for as long as was to be waited.
type NoPrimaryError struct {
	Waited time.Duration
	Causes map[string]error // the last one of each server, by host:port
	order  []string
}

func (e *NoPrimaryError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "find a server that can be written to: none for %s", e.Waited.Round(time.Millisecond))
	for i, name := range e.order {
		if cause := e.Causes[name]; cause != nil {
			separator := "; "
			if i == 0 {
				separator = ": "
			}
			fmt.Fprintf(&b, "%s%s: %v", separator, name, cause)
		}
	}
	return b.String()
}

// Unwrap gives the causes.
func (e *NoPrimaryError) Unwrap() []error {
	var all []error
	for _, name := range e.order {
		if cause := e.Causes[name]; cause != nil {
			all = append(all, cause)
		}
	}
	return all
}

func (e *NoPrimaryError) class() Class { return Unreachable }

// standbyError says that a server answered that can't be written to.
type standbyError struct{ why string }

func (e *standbyError) Error() string { return e.why }
func (e *standbyError) class() Class  { return ReadOnly }

// UnknownOutcomeError says that COMMIT was sent and that it could not be learned what became of it. The transaction
// happened once or not at all; it was not run again.
type UnknownOutcomeError struct {
	Transaction uint64 // its number, as txid_current gives it; zero where it is not known
	Token       string // in the marker's table, if there is one: a row that is there says that it is committed
	Reason      string // why it could not be learned
	Err         error  // what was lost
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("commit: the outcome is unknown: %s (%v)", e.Reason, e.Err)
}

// Unwrap gives what was lost.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

func (e *UnknownOutcomeError) class() Class { return Unknown }

// UnreplicatedError says that a transaction is committed on the server that answered, but that its standbys have not
// confirmed what synchronous replication has them confirm: a failover may lose it.
type UnreplicatedError struct {
	Transaction uint64
	Err         error // why it could not be confirmed since
}

func (e *UnreplicatedError) Error() string {
	return fmt.Sprintf("commit: it is done on one server, and no standby has confirmed it: %v", e.Err)
}

// Unwrap gives the reason.
func (e *UnreplicatedError) Unwrap() error { return e.Err }

func (e *UnreplicatedError) class() Class { return Unknown }

// ExhaustedError says that a transaction that may run again did not get through in the attempts or the time that it had.
// It did not happen.
type ExhaustedError struct {
	Attempts int
	Took     time.Duration
	Err      error // of the last attempt
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("run a transaction: gave up after %d attempts in %s: %v", e.Attempts, e.Took.Round(time.Millisecond), e.Err)
}

// Unwrap gives the error of the last attempt.
func (e *ExhaustedError) Unwrap() error { return e.Err }
