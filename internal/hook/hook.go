// Package hook does what an owner wants done before and after a base, a restore and a drill: it runs a program, or posts to an
// address.
//
// It promises that a hook ends: after its time its whole process group is ended, and what a program left running behind itself is ended
// with it. What a hook is told stands in its environment (BACKSTAY_MOMENT, BACKSTAY_WORK, BACKSTAY_SOURCE, BACKSTAY_JOB,
// BACKSTAY_OUTCOME, BACKSTAY_ERROR) and, as JSON, on its standard input or in the body of the request. What it says on its error
// output is shown where it fails, with what looks like a secret masked; addresses, which may hold one, are never shown.
package hook

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// DefaultTimeout is for how long a hook may take where nothing else is said.
const DefaultTimeout = 30 * time.Second

// Hook is one thing to be done.
type Hook struct {
	Command []string      // a program and its arguments, without a shell; empty: URL is called
	Dir     string        // in which the program runs
	URL     string        // http:// or https://, may hold a secret
	Timeout time.Duration // zero means DefaultTimeout
	GoOn    bool          // its failure stops nothing
}

// Event is what a hook is told.
type Event struct {
	Moment  string `json:"moment"`            // before, after
	Work    string `json:"work"`              // base, restore, drill
	Source  string `json:"source"`            // of what
	Job     string `json:"job,omitempty"`     // the same in the audit log and the list of runs
	Outcome string `json:"outcome,omitempty"` // after the work: ok, failed, stopped
	Error   string `json:"error,omitempty"`   // why it failed
}

// Result is how one hook went.
type Result struct {
	Name string // what it is, without secrets
	Took time.Duration
	Err  error // nil: it did what it should
}

// FailedError says that a hook failed whose failure stops the work.
type FailedError struct {
	Moment, Work string
	Name         string
	Err          error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("hook %s %s: %s: %v", e.Moment, e.Work, e.Name, e.Err)
}

func (e *FailedError) Unwrap() error { return e.Err }

// Hint says what can be done.
func (e *FailedError) Hint() string {
	return "right what it says, or let it fail without harm: on_failure: go_on in backstay.yaml"
}

// Run does hooks one after the other, and ends with the first that fails and whose failure stops the work: that is a FailedError. The
// results are of all that were done.
func Run(ctx context.Context, hooks []Hook, e Event) ([]Result, error) {
	var results []Result
	for _, h := range hooks {
		began := time.Now()
		err := h.do(ctx, e)
		results = append(results, Result{Name: h.Name(), Took: time.Since(began), Err: err})
		if err != nil && (!h.GoOn || ctx.Err() != nil) {
			return results, &FailedError{Moment: e.Moment, Work: e.Work, Name: h.Name(), Err: err}
		}
	}
	return results, nil
}

// Name is what a hook is: its program, or that it is an address.
func (h Hook) Name() string {
	if len(h.Command) > 0 {
		return filepath.Base(h.Command[0])
	}
	return "http"
}

func (h Hook) do(ctx context.Context, e Event) error {
	limit := h.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	switch {
	case len(h.Command) > 0:
		err = h.run(limited, e)
	case h.URL != "":
		err = h.post(limited, e)
	default:
		err = errors.New("it names neither a command nor an address")
	}
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("it did not end within %s: %w", limit, context.DeadlineExceeded)
	}
	return err
}
