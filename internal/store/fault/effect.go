package fault

import (
	"context"
	"errors"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
)

// ErrInjected is what an effect without an error of its own gives.
var ErrInjected = errors.New("injected failure")

// Effect is what goes wrong with a call.
type Effect struct {
	kind effect
	err  error
	wait time.Duration
	n    int64
}

type effect int

const (
	none effect = iota
	fail
	failAfter
	hang
	slow
	cut
	truncate
	flip
	lose
)

// Fail returns err, or ErrInjected for nil, and does nothing.
func Fail(err error) Effect { return Effect{kind: fail, err: err} }

// FailAfter does what was asked and then returns err, or ErrInjected for nil: the answer was lost.
func FailAfter(err error) Effect { return Effect{kind: failAfter, err: err} }

// Hang does nothing until the context ends.
func Hang() Effect { return Effect{kind: hang} }

// Slow waits for d before it does what was asked.
func Slow(d time.Duration) Effect { return Effect{kind: slow, wait: d} }

// Cut breaks the connection after n bytes read, bytes put, or objects listed. A call that moves none fails at once.
func Cut(n int64) Effect { return Effect{kind: cut, n: n} }

// Truncate ends a read after n bytes, or a listing after n objects, as if that were all. A put stores the first n bytes
// only and reports success.
func Truncate(n int64) Effect { return Effect{kind: truncate, n: n} }

// Flip turns the lowest bit of the nth byte, counted from 0, of what a read gives, or of what a put stores.
func Flip(n int64) Effect { return Effect{kind: flip, n: n} }

// Lose reports success and does nothing, as a disk does that loses power before its cache is written.
func Lose() Effect { return Effect{kind: lose} }

func (e Effect) cause() error {
	if e.err == nil {
		return ErrInjected
	}
	return e.err
}

// around makes the call as the effect has it, for effects that need no look at the bytes.
func (e Effect) around(ctx context.Context, call func() error) error {
	switch e.kind {
	case fail, cut:
		return e.cause()
	case failAfter:
		if err := call(); err != nil {
			return err
		}
		return e.cause()
	case hang:
		<-ctx.Done()
		return context.Cause(ctx)
	case slow:
		if err := backoff.Sleep(ctx, e.wait); err != nil {
			return err
		}
	case lose:
		return nil
	}
	return call()
}
