package ledger

import (
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Seen is what a host remembers of a log: the last checkpoint that it verified.
type Seen struct {
	Number uint64    `json:"number"`
	Size   int64     `json:"size"`
	Root   tlog.Hash `json:"root"`
	Time   time.Time `json:"time"`
}

// IsZero reports whether nothing was seen.
func (s Seen) IsZero() bool { return s.Number == 0 }

// newer reports the contradiction between what was seen and a checkpoint, apart from what only the leaves tell.
func (s Seen) newer(prefix string, c Checkpoint) error {
	var detail string
	switch got := c.Seen(); {
	case got.Number < s.Number:
		detail = fmt.Sprintf("the newest checkpoint is number %d, but %d was seen before", got.Number, s.Number)
	case got.Size < s.Size:
		detail = fmt.Sprintf("the log has %d leaves, but %d were seen before", got.Size, s.Size)
	case got.Number == s.Number && (got.Root != s.Root || got.Size != s.Size):
		detail = fmt.Sprintf("checkpoint %d is not the one that was seen before", got.Number)
	default:
		return nil
	}
	return &RollbackError{Log: prefix, Seen: s, Got: c.Seen(), Detail: detail}
}

// rewritten is the error for a tree that does not extend the one that was seen.
func (s Seen) rewritten(prefix string, c Checkpoint) error {
	return &RollbackError{Log: prefix, Seen: s, Got: c.Seen(),
		Detail: fmt.Sprintf("its first %d leaves are not the ones that were seen before", s.Size)}
}
