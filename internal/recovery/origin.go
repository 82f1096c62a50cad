package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/repository"
)

// Origin is where bases and log are read from: one repository.
type Origin struct {
	Name     string // for people: "local", "s3://bucket/prefix"
	History  history.History
	OpenBase func(ctx context.Context, id string) (Base, error)
	OpenLog  func(segments []history.Segment) engine.Log
	Mirror   Mirror // other repositories behind this one; nil for none

	// Hold keeps what a chain reads from being dropped until release is called; by says in words who reads. It is a
	// *repository.UnlistedError if something of it was dropped already. nil: nothing is claimed.
	Hold func(ctx context.Context, chain history.Chain, by string) (release func(), err error)
}

// Claim keeps what is read of a chain from being dropped until release is called: all but what lies in the spool, which may be
// nil. It is a *ForgottenError if something of it was dropped after it was planned.
func (o Origin) Claim(ctx context.Context, chain history.Chain, spool engine.Log, by string) (release func(), err error) {
	if o.Hold == nil {
		return func() {}, nil
	}
	if spool != nil {
		own := spool.Segments()
		chain.Segments = slices.DeleteFunc(slices.Clone(chain.Segments), func(s history.Segment) bool {
			return slices.ContainsFunc(own, func(l history.Segment) bool { return l.Name == s.Name })
		})
	}
	release, err = o.Hold(ctx, chain, by)
	if gone, ok := errors.AsType[*repository.UnlistedError](err); ok {
		return nil, &ForgottenError{Source: o.History.Source, Repository: o.Name, Object: gone.Object}
	}
	return release, err
}

// ForgottenError says that a plan is out of date: what it reads was dropped by whoever may, or replaced, after it was made. Nothing
// is damaged.
type ForgottenError struct {
	Source     string
	Repository string
	Object     string
}

func (e *ForgottenError) Error() string {
	return fmt.Sprintf("recover %s from %s: %s was dropped or replaced after this was planned", e.Source, e.Repository, e.Object)
}

// Hint says what to do.
func (e *ForgottenError) Hint() string {
	return "plan it again: what is kept may reach the same target by another way"
}

// Base is an opened base; *repository.BaseReader is one.
type Base interface {
	Extract(ctx context.Context, dir string, o pack.ExtractOptions) (pack.ExtractStats, error)
	Close() error
}

// Alternative is another way to the same target.
type Alternative struct {
	Repository string `json:"repository"`
	Base       string `json:"base"`
}

// Alternatives lists who could reach the target without one damaged object: the repository it lies in by another
// base or by the tips that cover the same stretch, other repositories by their own copies. damaged is the name of a
// segment, or "base/ID" with anything behind it.
func Alternatives(origins []Origin, damaged Object, t history.Target) (found []Alternative) {
	for _, o := range origins {
		h := o.History
		if o.Name == damaged.Repository {
			h = without(h, damaged)
		}
		if c, err := h.Chain(t); err == nil {
			found = append(found, Alternative{Repository: o.Name, Base: c.Base.ID})
		}
	}
	return found
}

// Object names one thing in one repository.
type Object struct {
	Repository string `json:"repository"`
	Name       string `json:"name"`           // of the object as far as it is known, else of the base or segment
	Base       string `json:"base,omitempty"` // the ID of the base that it belongs to; "" for log
}
