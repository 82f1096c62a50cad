package store

import "fmt"

// CorruptError says that an object is not what it must be: it is missing, it has another digest than the one that was
// kept of it, or its bytes make no sense. Stores do not return it; those who know what an object must be do.
type CorruptError struct {
	Object string // its name, as far as it is known where the damage was found
	Detail string // what part of it, and what is wrong
	Want   string // the digest, size or value expected; "" where there is none
	Got    string
	Err    error // the cause, if another package found it
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
