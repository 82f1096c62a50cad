package app

import (
	"strings"

	"github.com/backstaydb/backstay/internal/api"
)

// History is what the repository knows, as it is shown.
func (o OpenRepository) History() api.History {
	h := o.Facts.History
	out := api.History{
		Source: h.Source, Engine: h.Engine, Repository: o.Name, Store: o.Store,
		Bases: []api.Base{}, Windows: []api.Window{}, Gaps: []api.Gap{}, Drills: []string{},
		Checkpoint: o.Facts.Head.Number, StoredBytes: o.Facts.StoredBytes,
	}
	for _, b := range h.Bases {
		out.Bases = append(out.Bases, api.BaseOf(h.Source, b))
	}
	for _, w := range h.Windows() {
		out.Windows = append(out.Windows, api.Window{Base: w.Base, Start: w.Start, End: w.End, Since: w.Since, Until: w.Until})
	}
	for _, g := range h.AllGaps() {
		out.Gaps = append(out.Gaps, api.Gap{From: g.From, To: g.To, Since: g.Since, Until: g.Until, Reason: g.Reason})
	}
	for _, r := range o.Facts.Reports {
		if !isDrill(r.ID) {
			continue
		}
		out.Drills = append(out.Drills, strings.TrimPrefix(r.Name, "report/"))
	}
	return out
}

// readers names who can read a repository.
func readers(o OpenRepository) string {
	var names []string
	for _, r := range o.Facts.Keys.Readers {
		names = append(names, r.Name)
	}
	return strings.Join(names, " or ")
}
