package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/retention"
)

// Move copies what is old to a colder repository, and drops what is proven to be there.
func (h hands) Move(ctx context.Context, source, repo string, m retention.Move) error {
	p := h.d.part(source)
	if p == nil {
		return unknownSource(source)
	}
	from, err := p.writers.get(ctx, repo)
	if err != nil {
		return err
	}
	to, err := p.writers.get(ctx, m.To)
	if err != nil {
		return err
	}
	return move(ctx, from, to, m)
}

// move may be repeated after an error or a kill: what is there is not copied twice, and nothing is dropped that was not read there
// in the same call.
func move(ctx context.Context, from, to *repository.Repository, m retention.Move) error {
	if err := to.CopyKeys(ctx, from); err != nil {
		return err
	}
	facts, err := from.Facts(ctx)
	if err != nil {
		return err
	}
	if err := copyTo(ctx, from, to, facts.History, m.Copy); err != nil {
		return err
	}
	if err := proven(ctx, to, m.Names()); err != nil {
		return err
	}
	_, err = from.Drop(ctx, repository.Order{Names: m.Names(), Reason: m.Summary, Decided: facts.Head.Size})
	return err
}

// copyTo copies objects that the other repository does not list, and what h says of breaks in the log.
func copyTo(ctx context.Context, from, to *repository.Repository, h history.History, items []retention.Item) error {
	there, err := to.Facts(ctx)
	if err != nil {
		return err
	}
	for _, f := range h.Forks {
		if err := to.RecordFork(ctx, f); err != nil {
			return err
		}
	}
	for _, g := range h.Gaps {
		if err := to.RecordGap(ctx, g); err != nil {
			return err
		}
	}
	for _, item := range items {
		id, isBase := strings.CutPrefix(item.Name, "base/")
		switch {
		case slices.ContainsFunc(there.Objects, func(o repository.Object) bool { return o.Name == listedName(item.Name) }):
		case isBase:
			err = to.CopyBase(ctx, from, id, nil)
		default:
			err = to.CopySegment(ctx, from, history.Segment{Name: item.Name})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// proven reads objects in a repository, and says which is not there as it must be.
func proven(ctx context.Context, r *repository.Repository, names []string) error {
	wanted, good := []string{}, map[string]bool{}
	for _, name := range names {
		wanted = append(wanted, listedName(name))
	}
	_, err := r.Check(ctx, repository.CheckOptions{Only: wanted, Read: func(o repository.Object, detail string) { good[o.Name] = detail == "" }})
	if err != nil {
		return err
	}
	for _, name := range wanted {
		if !good[name] {
			return fmt.Errorf("prove what was copied to %s: %s is not there as it must be; nothing was dropped", r.Store(), name)
		}
	}
	return nil
}

// listedName is what the ledger lists for a base or a segment as retention names it.
func listedName(name string) string {
	if strings.HasPrefix(name, "base/") {
		return name + "/manifest"
	}
	return name
}
