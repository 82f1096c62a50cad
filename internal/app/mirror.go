package app

import (
	"context"
	"strings"

	"github.com/backstaydb/backstay/internal/recovery"
	"github.com/backstaydb/backstay/internal/store/mirror"
)

// sharedBy says which objects of a source are equal in all of its repositories: bases and log. Ledger and key objects
// are each repository's own.
func sharedBy(source string) func(name string) bool {
	return func(name string) bool {
		rest, ok := strings.CutPrefix(name, source+"/")
		folder, _, _ := strings.Cut(rest, "/")
		return ok && (folder == "base" || folder == "log" || folder == "tip")
	}
}

// mirrors are the stores of the source's other repositories, as far as they can be opened: also of one whose ledger is
// damaged, since what an object must be is said by the ledger of the repository that is read.
func (h *Host) mirrors(ctx context.Context, source, but string) []mirror.Source {
	var others []mirror.Source
	for _, name := range h.Config.Sources[source].Everywhere() {
		if name == but {
			continue
		}
		if s, err := h.openStore(ctx, name); err == nil {
			others = append(others, mirror.Source{Name: name, Store: s})
		}
	}
	return others
}

// mirrored is a mirror as recovery asks it.
type mirrored struct{ s *mirror.Store }

func (m mirrored) Elsewhere(ctx context.Context, object string, cause error) bool {
	_, ok := m.s.Elsewhere(ctx, object, cause)
	return ok
}

func (m mirrored) Taken() []recovery.Elsewhere {
	var all []recovery.Elsewhere
	for _, t := range m.s.Taken() {
		all = append(all, recovery.Elsewhere{Object: t.Object, Lacks: t.Lacks, From: t.From, Reason: t.Err.Error()})
	}
	return all
}
