package app

import (
	"errors"
	"fmt"
	"io/fs"
)

// SourceError is a failure of, or at, the source.
type SourceError struct {
	Source string
	Err    error
}

func (e *SourceError) Error() string { return "source " + e.Source + ": " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// StoreError is a failure to reach or use a store.
type StoreError struct {
	Store string
	Err   error
}

func (e *StoreError) Error() string { return "store " + e.Store + ": " + e.Err.Error() }
func (e *StoreError) Unwrap() error { return e.Err }

// Hint is that of the store, or how to find out more.
func (e *StoreError) Hint() string {
	if hint := hintOf(e.Err); hint != "" {
		return hint
	}
	return fmt.Sprintf("see that it can be reached from here, and that these credentials may use it; backstay store check %q tries everything", e.Store)
}

// KeyError says that no key, or the wrong key, is at hand.
type KeyError struct {
	Err    error
	Advice string
}

func (e *KeyError) Error() string { return e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

// Hint says where a key could come from.
func (e *KeyError) Hint() string { return e.Advice }

// hintOf is the advice that err carries, "" if it carries none.
func hintOf(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}

// MissingError says that a store holds nothing of a source.
type MissingError struct {
	Err    error
	Advice string // "" stands for what may be wrong with a store
}

func (e *MissingError) Error() string { return e.Err.Error() }
func (e *MissingError) Unwrap() error { return e.Err }

// Is makes it fs.ErrNotExist.
func (e *MissingError) Is(target error) bool { return target == fs.ErrNotExist }

// Hint says what may be wrong.
func (e *MissingError) Hint() string {
	if e.Advice != "" {
		return e.Advice
	}
	return "is its disk mounted, and are folder, or bucket and prefix, and the name of the source right? protect makes a repository that never was there"
}
