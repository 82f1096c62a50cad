package pack

import "fmt"

// CorruptError says that an object does not hold what it must.
type CorruptError struct {
	Object string // its name, as given by the caller
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

// corrupt builds a CorruptError without digests.
func corrupt(object string, err error, format string, args ...any) *CorruptError {
	return &CorruptError{Object: object, Detail: fmt.Sprintf(format, args...), Err: err}
}
