package engine

import "fmt"

// hinted is an error with advice for the person who reads it.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

// Hint says what helps.
func (e *hinted) Hint() string { return e.hint }

// WithHint is fmt.Errorf with advice, which whoever shows the error finds by a method Hint.
func WithHint(hint, format string, args ...any) error {
	return &hinted{err: fmt.Errorf(format, args...), hint: hint}
}
