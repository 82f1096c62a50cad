package app

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/recovery"
)

// openLocal opens what lies in the spool of this host, beside a daemon too; nil if nothing does. A spool that cannot be
// read is no reason not to recover what the repositories have.
func (h *Host) openLocal(source string) *archive.Local {
	local, err := archive.OpenLocal(h.sourceState(source, "spool"))
	if err == nil {
		return local
	}
	if !errors.Is(err, fs.ErrNotExist) {
		h.Log.Warn("the spool of this host cannot be read; commits that are in no repository yet are left out", "source", source, "error", err)
	}
	return nil
}

// withSpool adds to a repository what only this host has; the log is nil for nothing.
func (r *Reached) withSpool(o recovery.Origin) (recovery.Origin, engine.Log) {
	if r.local == nil {
		return o, nil
	}
	log, err := r.local.Beyond(o.History)
	if err != nil {
		r.host.Log.Warn("the spool of this host cannot be read; commits that are in no repository yet are left out", "source", r.Source, "error", err)
		return o, nil
	}
	o.History = recovery.WithSpool(o.History, log, r.local.Whole())
	for _, f := range r.local.Forks() {
		if !slices.ContainsFunc(o.History.Forks, func(known history.Fork) bool { return known.Child == f.Child }) {
			o.History.Forks = append(slices.Clip(o.History.Forks), f)
		}
	}
	return o, log
}

// Close lets go of what lies on this host.
func (r *Reached) Close() error {
	if r.local == nil {
		return nil
	}
	return r.local.Close()
}
