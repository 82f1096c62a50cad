package archive

import (
	"errors"
	"fmt"

	"github.com/backstaydb/backstay/internal/history"
)

// errAhead is wrapped by what a repository is refused with that has more than the spool.
var errAhead = errors.New("the repository is ahead of this host")

// AheadError says that a repository has log which this host has not: another host protects the same source, or the
// spool was lost and the repository could not be reached when the log was continued.
type AheadError struct {
	Repository string
	Has, Spool history.Position
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("ship to repository %s: it has the log up to %s, this host only up to %s", e.Repository, e.Has, e.Spool)
}

// Unwrap marks the kind of error.
func (e *AheadError) Unwrap() error { return errAhead }

// Hint says what to look at.
func (e *AheadError) Hint() string {
	return "make sure that no other host protects this source; after a restart of this daemon the log goes on from the newest repository that it can reach"
}
