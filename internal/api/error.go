package api

import "errors"

// Error is an error that travelled from the daemon to the command.
type Error struct {
	Message string `json:"message"`
	Advice  string `json:"hint,omitempty"`
	Exit    int    `json:"exit"`
}

func (e *Error) Error() string { return e.Message }

// Hint says what to do about it.
func (e *Error) Hint() string { return e.Advice }

// ExitCode is the exit code that the daemon's side found for it.
func (e *Error) ExitCode() int { return e.Exit }

// wire makes err travel.
func wire(err error, exit func(error) int) *Error {
	e := &Error{Message: err.Error(), Exit: exit(err)}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		e.Advice = hinted.Hint()
	}
	return e
}
