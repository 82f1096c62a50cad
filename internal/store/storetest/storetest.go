// Package storetest holds a store to the contract of package store. It needs no testing package, so that the same
// probes run in tests and, by "backstay store check", on a person's own bucket or folder.
//
// Everything is written below a random prefix and removed at the end; nothing else in the store is touched. It costs
// some hundred requests and, for a moment, 60 MB. A store that can lock objects is asked to lock one for four seconds.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/store"
)

// ErrNotClaimed is a step's result where the store does not claim the ability that the step tests.
var ErrNotClaimed = errors.New("not claimed by this store")

// Step is one promise of the contract.
type Step struct {
	Name string // in plain words: "a taken name is refused"
	run  func(context.Context, probe) error
}

// Result is what a step found.
type Result struct {
	Step Step
	Err  error // nil: the promise holds; ErrNotClaimed: not tested; else what was wrong
	Took time.Duration
}

// Steps returns all promises in the order in which Each tests them.
func Steps() []Step {
	var all []Step
	for _, some := range [][]Step{writing, reading, listing, failing, extras} {
		all = append(all, some...)
	}
	return all
}

// Check tests every promise and returns all failures, joined.
func Check(ctx context.Context, s store.Store) error {
	return Each(ctx, s, func(Result) {})
}

// Each tests every promise, tells visit each result as it comes, and returns all failures, joined. It ends early only
// when ctx ends.
func Each(ctx context.Context, s store.Store, visit func(Result)) error {
	below := "probe-" + strings.ToLower(rand.Text())
	var failures []error
	for i, step := range Steps() {
		if ctx.Err() != nil {
			failures = append(failures, context.Cause(ctx))
			break
		}
		began := time.Now()
		err := step.run(ctx, probe{s, fmt.Sprintf("%s/%02d", below, i)})
		visit(Result{Step: step, Err: err, Took: time.Since(began)})
		if err != nil && !errors.Is(err, ErrNotClaimed) {
			failures = append(failures, fmt.Errorf("%s: %w", step.Name, err))
		}
	}
	if err := cleanUp(ctx, s, below+"/"); err != nil {
		failures = append(failures, fmt.Errorf("clean up: %w", err))
	}
	return errors.Join(failures...)
}

// cleanUp removes all below prefix, also when ctx has ended. Locks that the suite took end within seconds.
func cleanUp(ctx context.Context, s store.Store, prefix string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var names []string
	err := s.List(ctx, prefix, func(o store.Object) error {
		names = append(names, o.Name)
		return nil
	})
	for _, name := range names {
		failed := s.Delete(ctx, name)
		for try := 0; try < 10 && errors.Is(failed, fs.ErrPermission); try++ {
			if err := backoff.Sleep(ctx, 500*time.Millisecond); err != nil {
				return err
			}
			failed = s.Delete(ctx, name)
		}
		err = errors.Join(err, failed)
	}
	return err
}
