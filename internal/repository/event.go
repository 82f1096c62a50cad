package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
)

// RecordGap lists a stretch that cannot be recovered to. A gap that is listed already is not listed twice.
func (r *Repository) RecordGap(ctx context.Context, gap history.Gap) error {
	same := func(g history.Gap) bool {
		return g.From.Equal(gap.From) && g.To.Equal(gap.To) && g.Since.Equal(gap.Since) && g.Until.Equal(gap.Until)
	}
	return r.record(ctx, Gap, gap, func() bool { return slices.ContainsFunc(r.fold.gaps, same) })
}

// RecordFork lists where a timeline begins. A fork that is listed already is not listed twice.
func (r *Repository) RecordFork(ctx context.Context, fork history.Fork) error {
	same := func(f history.Fork) bool { return f.Child == fork.Child && f.At.Equal(fork.At) }
	return r.record(ctx, Fork, fork, func() bool { return slices.ContainsFunc(r.fold.forks, same) })
}

func (r *Repository) record(ctx context.Context, kind Kind, v any, stands func() bool) error {
	body, err := ledger.Body(v)
	if err == nil {
		_, err = r.append(ctx, func(head ledger.Checkpoint) (ledger.Change, error) {
			if stands() {
				return ledger.Change{}, ledger.ErrNoChange
			}
			return ledger.Change{Tips: head.Tips, Leaves: []ledger.Leaf{{Kind: string(kind), Body: body}}}, nil
		})
	}
	if err != nil {
		return fmt.Errorf("record %s of %s: %w", kind, r.source, err)
	}
	return nil
}

// maxReport is the largest drill report, in bytes.
const maxReport = 8 << 20

// PutReport stores a signed drill report and lists it.
func (r *Repository) PutReport(ctx context.Context, id string, signedReport []byte) error {
	name := "report/" + id
	if len(signedReport) > maxReport || strings.Contains(id, "/") {
		return fmt.Errorf("put report %q of %s: %d bytes: %w", id, r.source, len(signedReport), fs.ErrInvalid)
	}
	size, sum := digest(signedReport)
	err := putBytes(ctx, r.store, r.object(name), signedReport)
	if errors.Is(err, fs.ErrExist) {
		err = r.hashListed(ctx, Object{Name: name, Size: size, SHA256: sum}, nil)
	}
	if err == nil {
		err = r.protect(ctx, name)
	}
	if err == nil {
		_, err = r.append(ctx, func(head ledger.Checkpoint) (ledger.Change, error) {
			if r.fold.objects[name].SHA256 == sum {
				return ledger.Change{}, ledger.ErrNoChange
			}
			return ledger.Change{Tips: head.Tips, Leaves: []ledger.Leaf{{Kind: string(Report), Name: name, Size: size, SHA256: sum}}}, nil
		})
	}
	if err != nil {
		return fmt.Errorf("put report %s of %s: %w", id, r.source, err)
	}
	return nil
}

// Report reads a drill report.
func (r *Repository) Report(ctx context.Context, id string) ([]byte, error) {
	o, err := r.find(ctx, "report/"+id)
	if err != nil {
		return nil, err
	}
	return r.readListed(ctx, o)
}
