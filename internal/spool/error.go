package spool

import (
	"errors"
	"fmt"
)

// ErrFull is what Append fails with when the bound is reached; the error is a *FullError.
var ErrFull = errors.New("spool is full")

// ErrReleased is what reading a piece fails with when every repository had it and its journal is gone.
var ErrReleased = errors.New("piece was released from the spool")

// FullError says by how much a batch does not fit.
type FullError struct {
	Bytes, Need, Max int64 // held now, wanted by the batch, and the bound
}

func (e *FullError) Error() string {
	return fmt.Sprintf("append %d bytes to spool: it holds %d of at most %d bytes", e.Need, e.Bytes, e.Max)
}

// Unwrap makes errors.Is(err, ErrFull) hold.
func (e *FullError) Unwrap() error { return ErrFull }

// WriteError says that the disk refused something, for now at least. The spool is as it was before.
type WriteError struct {
	Op   string // what was to be done: "append to spool"
	Need int64  // bytes that were to be written, about
	Err  error
}

func (e *WriteError) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap gives what the disk said.
func (e *WriteError) Unwrap() error { return e.Err }

// CorruptError says that a journal is not as it was written.
type CorruptError struct {
	File   string
	Offset int64 // of the record that cannot be read
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("read spool file %s at byte %d: %s", e.File, e.Offset, e.Detail)
}

// ContinuityError says that pieces do not join: something between Want and Got is missing.
type ContinuityError struct {
	Want, Got string
}

func (e *ContinuityError) Error() string {
	return fmt.Sprintf("append to spool: the log goes on from %s, the piece begins at %s", e.Want, e.Got)
}
