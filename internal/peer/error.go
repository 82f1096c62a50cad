package peer

import (
	"errors"
	"net/http"
)

// What errors.Is finds in errors of calls, on both sides of the network.
var (
	// ErrRefused: understood, and not done: a lower epoch, no tenure, a command that does not fit.
	ErrRefused = errors.New("refused")
	// ErrUnknown: no such cluster, member or proxy on that host.
	ErrUnknown = errors.New("not known there")
)

// refusal carries words and a class across the network.
type refusal struct {
	class error
	words string
}

func (e *refusal) Error() string { return e.words }
func (e *refusal) Unwrap() error { return e.class }

// Refuse makes an error that is ErrRefused and reads as words.
func Refuse(words string) error { return &refusal{ErrRefused, words} }

var classes = map[int]error{http.StatusConflict: ErrRefused, http.StatusNotFound: ErrUnknown}

func statusOf(err error) int {
	for status, class := range classes {
		if errors.Is(err, class) {
			return status
		}
	}
	return http.StatusInternalServerError
}
