package repository

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/backstaydb/backstay/internal/store"
)

// CorruptError says that an object is not what the ledger lists, or does not hold what it must.
type CorruptError = store.CorruptError

// UnlistedError says that an object may exist but that no signed checkpoint lists it, so that it does not count.
type UnlistedError struct {
	Source string
	Object string
}

func (e *UnlistedError) Error() string {
	return fmt.Sprintf("open %s of %s: no signed checkpoint lists it", e.Object, e.Source)
}

// Hint says what that means.
func (e *UnlistedError) Hint() string {
	return "it was dropped, was never finished, or somebody who may not sign put it there; it is not used"
}

// BegunError says that another host, or this one before it lost its state, began to create the repository and did not finish.
type BegunError struct{ Source string }

func (e *BegunError) Error() string { return "another host began it and has not finished" }

// Unwrap says what kind of error it is.
func (e *BegunError) Unwrap() error { return fs.ErrExist }

// Hint says what helps.
func (e *BegunError) Hint() string {
	return fmt.Sprintf("start it there again; if that host is gone, remove the folder %s from the store: all that it holds is a key to which nothing was sealed", e.Source)
}

// WrongKeyError says that none of the given keys opens the repository.
type WrongKeyError struct {
	Source  string
	Readers []Reader
}

func (e *WrongKeyError) Error() string {
	return fmt.Sprintf("open repository of %s: none of the given keys can read it", e.Source)
}

// Hint names the readers.
func (e *WrongKeyError) Hint() string {
	var names []string
	for _, r := range e.Readers {
		names = append(names, fmt.Sprintf("%s (%s)", r.Name, r.Recipient))
	}
	return "it can be read with the key of " + strings.Join(names, " or ")
}

// NoKeyError says that an operation needs a reader's key and none was given.
type NoKeyError struct{ Source, Need string }

func (e *NoKeyError) Error() string {
	return fmt.Sprintf("%s of %s: no key was given", e.Need, e.Source)
}

// Hint says what helps.
func (e *NoKeyError) Hint() string {
	return "give the file with a reader's key, as in --key backstay.key"
}

// KeyError says that no key object of a source can be trusted.
type KeyError struct {
	Source string
	Reason string
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("open repository of %s: no key object can be trusted: %s", e.Source, e.Reason)
}

// Hint says what that may mean.
func (e *KeyError) Hint() string {
	return "somebody altered it, or this is another repository than the one that this host knows; compare with a copy"
}

// UnlistedSignerError says that a host may not write: it is not among the signers.
type UnlistedSignerError struct {
	Source   string
	Verifier string // its key
}

func (e *UnlistedSignerError) Error() string {
	return fmt.Sprintf("write to the repository of %s: this host is not among those who may sign there", e.Source)
}

// Hint says who can let it.
func (e *UnlistedSignerError) Hint() string {
	return fmt.Sprintf("on the host that captures it run: backstay key trust %s %s; then try again here", e.Source, e.Verifier)
}
