package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/backstaydb/backstay/internal/repository"
)

// Rewritten is what became of one repository whose objects were sealed anew.
type Rewritten struct {
	Repository string
	Rotated    bool // a new identity was made first
	repository.Rewritten
}

// Rewrite seals all that the repositories of a source hold to an identity that no withdrawn key knows, and drops what an older one
// opens. A new identity is made unless a run before this one made it and did not come to its end. It may be broken off at any
// point and called again. progress is told the repository and its stored bytes; it may be nil.
func (h *Host) Rewrite(ctx context.Context, source, keyFile string, progress func(repo string, done, total int64)) ([]Rewritten, error) {
	names, repos, err := h.openForKeys(ctx, source, keyFile)
	if err != nil {
		return nil, err
	}
	return h.rewrite(ctx, names, repos, progress)
}

func (h *Host) rewrite(ctx context.Context, names []string, repos []*repository.Repository, progress func(repo string, done, total int64)) ([]Rewritten, error) {
	rotated, err := needsIdentity(ctx, repos)
	if err == nil && rotated {
		err = repos[0].Rotate(ctx)
	}
	for i := 1; i < len(repos) && err == nil; i++ {
		err = repos[i].CopyKeys(ctx, repos[0])
	}
	if err != nil {
		return nil, err
	}
	var all []Rewritten
	for i, r := range repos {
		others := append(append([]*repository.Repository{}, repos[:i]...), repos[i+1:]...)
		done, err := r.Rewrite(ctx, others, func(done, total int64) {
			if progress != nil {
				progress(names[i], done, total)
			}
		})
		all = append(all, Rewritten{Repository: names[i], Rotated: rotated, Rewritten: done})
		if err == nil {
			err = forgetFingerprints(ctx, r)
		}
		if err != nil {
			return all, fmt.Errorf("repository %s: %w", names[i], err)
		}
	}
	return all, nil
}

// forgetFingerprints drops those that there are: an older identity opens them, and new ones come with time.
func forgetFingerprints(ctx context.Context, r *repository.Repository) error {
	facts, err := r.Facts(ctx)
	if err != nil {
		return err
	}
	var old []string
	for _, ref := range facts.Reports {
		if strings.HasSuffix(ref.ID, fingerprintSuffix) {
			old = append(old, ref.Name)
		}
	}
	if len(old) == 0 {
		return nil
	}
	_, err = r.Drop(ctx, repository.Order{Names: old, Reason: "a withdrawn key opens it", Decided: facts.Head.Size})
	return err
}

// needsIdentity reports whether what is sealed from now on must be sealed to a new identity: a withdrawn key knows the one that
// counts, or nothing shows that it was made for this.
func needsIdentity(ctx context.Context, repos []*repository.Repository) (bool, error) {
	waiting := false
	for _, r := range repos {
		withdrawn, err := r.Withdrawn(ctx)
		if err != nil {
			return false, err
		}
		for _, w := range withdrawn {
			if !w.Rotated {
				return true, nil
			}
			waiting = waiting || w.Objects > 0
		}
	}
	return !waiting, nil
}
