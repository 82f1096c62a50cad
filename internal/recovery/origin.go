package recovery

import (
	"context"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

// Origin is where bases and log are read from: one repository.
type Origin struct {
	Name     string // for people: "local", "s3://bucket/prefix"
	History  history.History
	OpenBase func(ctx context.Context, id string) (Base, error)
	OpenLog  func(segments []history.Segment) engine.Log
	Mirror   Mirror // other repositories behind this one; nil for none
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
