package repository

import (
	"fmt"
	"strings"
)

// CorruptError says that an object is not what the ledger lists, or does not hold what it must.
type CorruptError struct {
	Object string // its name in the store
	Detail string
	Want   string
	Got    string
	Err    error
}

func (e *CorruptError) Error() string {
	msg := "read " + e.Object + ": " + e.Detail
	if e.Want != "" || e.Got != "" {
		msg += fmt.Sprintf(": want %s, got %s", e.Want, e.Got)
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap gives the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// Hint says what helps.
func (e *CorruptError) Hint() string {
	return "run check to see what is affected; an equal object in another repository of this source can be copied here"
}

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
