package ledger

import (
	"errors"
	"fmt"

	"github.com/backstaydb/backstay/internal/store"
)

// ErrNoChange is returned by a Build that finds its change in the head already. Append then succeeds and writes
// nothing.
var ErrNoChange = errors.New("no change")

// RollbackError says that the store shows less than was seen before, or something else: an old copy was put back,
// or the log was rewritten.
type RollbackError struct {
	Log     string // its prefix in the store
	Seen    Seen
	Got     Seen
	Detail  string
	Ignored []Ignored // newer checkpoints that do not count
}

func (e *RollbackError) Error() string {
	msg := "read ledger " + e.Log + ": " + e.Detail
	if len(e.Ignored) > 0 {
		msg += fmt.Sprintf(" (%s)", e.Ignored[0])
	}
	return msg
}

// Hint says what to look at.
func (e *RollbackError) Hint() string {
	if e.Got.IsZero() && len(e.Ignored) == 0 {
		return fmt.Sprintf("checkpoint %d of %s was seen here before; is the disk mounted, and are folder, bucket and prefix still the same? If it was deleted, another repository of this source may still have it all",
			e.Seen.Number, e.Seen.Time.Format("2006-01-02 15:04:05 MST"))
	}
	return fmt.Sprintf("checkpoint %d of %s was seen here before; somebody put an old copy of the store back, or altered it. Compare with another repository before you trust this one",
		e.Seen.Number, e.Seen.Time.Format("2006-01-02 15:04:05 MST"))
}

// CorruptError says that an object of the log does not hold what it must.
type CorruptError = store.CorruptError

// UntrustedError says that checkpoints exist and that no trusted key signed the ones that could be read.
type UntrustedError struct {
	Log     string
	Ignored []Ignored
}

func (e *UntrustedError) Error() string {
	return fmt.Sprintf("read ledger %s: no checkpoint is signed by a trusted key (%s)", e.Log, e.Ignored[0])
}

// Hint says what to do about it.
func (e *UntrustedError) Hint() string {
	return "if a signer was added on another host, open the repository once with a reader's key; if not, somebody forged it"
}

// BlockedError says that a checkpoint which cannot be trusted stands above the newest one that can. Nothing is
// appended: it may be a damaged one that covers leaves which the older one lacks.
type BlockedError struct {
	Log     string
	Ignored Ignored
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("append to ledger %s: %s", e.Log, e.Ignored)
}

// Hint says what to do about it.
func (e *BlockedError) Hint() string {
	return "look at the object with check; a damaged one can be copied from another repository, a forged one must be deleted by hand"
}

// Ignored is a checkpoint that does not count, and why.
type Ignored struct {
	Object string `json:"object"`
	Reason string `json:"reason"`
}

func (i Ignored) String() string { return i.Object + ": " + i.Reason }
