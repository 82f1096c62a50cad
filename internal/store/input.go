package store

import (
	"context"
	"fmt"
	"io"
	"io/fs"
)

// InputError says that a Put failed because of the bytes that it was given, not because of the store: the reader
// failed, or gave another number of bytes than was announced. Trying again with the same reader does not help.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }
func (e *InputError) Unwrap() error { return e.Err }

// Retryable is false: see InputError.
func (e *InputError) Retryable() bool { return false }

// Input returns r as a Put must read it: it fails with an InputError when r fails and, unless size is -1, when r gives
// more or fewer bytes than size; and with the cause of ctx once that has ended.
func Input(ctx context.Context, r io.Reader, size int64) io.Reader {
	return &input{ctx: ctx, r: r, size: size}
}

type input struct {
	ctx  context.Context // of the one Put that reads
	r    io.Reader
	size int64
	read int64
}

func (in *input) Read(p []byte) (int, error) {
	if in.ctx.Err() != nil {
		return 0, context.Cause(in.ctx)
	}
	n, err := in.r.Read(p)
	in.read += int64(n)
	switch {
	case in.size >= 0 && in.read > in.size:
		return 0, &InputError{fmt.Errorf("reader gives more than the %d bytes announced: %w", in.size, fs.ErrInvalid)}
	case err == io.EOF && in.size >= 0 && in.read < in.size:
		return 0, &InputError{fmt.Errorf("reader gives %d of the %d bytes announced: %w", in.read, in.size, io.ErrUnexpectedEOF)}
	case err != nil && err != io.EOF:
		return n, &InputError{err}
	}
	return n, err
}

// ValidRange returns an error unless Open may be asked for offset and length.
func ValidRange(offset, length int64) error {
	if offset < 0 || length < -1 {
		return fmt.Errorf("range of %d bytes from %d: %w", length, offset, fs.ErrInvalid)
	}
	return nil
}
