package app

import (
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/archive"
)

// behindAfter is how old the oldest commit that a repository lacks may be before it counts as behind.
const behindAfter = 30 // seconds

// The states of a running source.
const (
	stateStarting  = "starting"
	stateBase      = "base"
	stateFollowing = "following"
	stateHealing   = "healing"
)

// status shows a running source.
func (p *protected) status() api.Source {
	if p.elsewhere() {
		return p.statusElsewhere()
	}
	s := p.archive.Status()
	out := api.Source{
		Name: p.name, URL: p.config.URL, Engine: p.kind, Mode: s.Identity.Mode, Text: s.Source.Text,
		Position: s.Position, PositionTime: s.Source.Time, BehindBytes: s.Source.Behind, HeldBytes: s.Source.HeldBytes,
		HoldsUp: s.Source.HoldsUp.Seconds(), SpoolBytes: s.SpoolBytes, SpoolLimit: p.config.Limit(), HeldLimit: p.config.MostHeld(), HeldRoom: s.Source.HeldRoom, Remains: s.Remains,
		Repositories: []api.Repository{},
	}
	out.Class, out.Owner = p.belongs()
	out.Sentinel = p.sentinel.status()
	for _, a := range s.Identity.Advice {
		out.Advice = append(out.Advice, api.Advice(a))
	}
	bases := 0
	for _, r := range s.Repositories {
		out.Repositories = append(out.Repositories, p.repository(r))
		bases = max(bases, r.Bases)
	}
	if out.Captured = s.Source.Time; s.Whole.Time.After(out.Captured) {
		out.Captured = s.Whole.Time
	}
	p.tell(&out, s, bases)
	return out
}

// tell says in which state a running source is whose fullest repository has so many bases, and why.
func (p *protected) tell(out *api.Source, s archive.Status, bases int) {
	switch {
	case s.SourceError != nil:
		out.State, out.Error = stateFailing, s.SourceError.Error()
	case s.SpoolFull:
		out.State, out.Text = stateFailing, "the spool is full, and capture has stopped until a repository takes what waits"
	case !s.Connected || len(s.Repositories) == 0:
		out.State = stateStarting
	case bases == 0:
		out.State, out.Text = stateBase, "the first base is being taken: "+p.progressOfBase()
	case s.Gap != nil:
		out.State, out.Text = stateHealing, fmt.Sprintf("a new base is being taken, for the log has a gap: %s (%s); until it is there %s", s.Gap.Reason, p.progressOfBase(), reachable(s.Repositories))
	case !s.Following:
		out.State = stateStarting
	default:
		out.State = stateFollowing
	}
}

// progressOfBase says how far the base has come.
func (p *protected) progressOfBase() string {
	return fmt.Sprintf("%d MB stored, of a source of %d MB", p.baseStored()/1e6, p.bytes/1e6)
}

// reachable says up to when some repository can bring the source back.
func reachable(list []archive.RepositoryStatus) string {
	var newest time.Time
	for _, r := range list {
		if r.Time.After(newest) {
			newest = r.Time
		}
	}
	if newest.IsZero() {
		return "nothing new can be recovered"
	}
	return fmt.Sprintf("the log is whole up to %s only, and nothing later can be recovered", newest.UTC().Format(time.DateTime+"Z"))
}

func (p *protected) repository(r archive.RepositoryStatus) api.Repository {
	out := api.Repository{
		Name: r.Name, Store: p.stores[r.Name], State: stateOK, Position: r.Position, DurableTime: r.Time,
		LagSeconds: r.Lag.Seconds(), LagBytes: r.LagBytes, LagP99: r.Durable.P99.Seconds(), LagMax: r.Durable.Max.Seconds(),
		Bases: r.Bases, LastBase: r.LastBase, StoredBytes: r.Stored,
	}
	if r.Bases == 0 {
		out.DurableTime = time.Time{} // log alone brings nothing back
	}
	switch {
	case r.Error != nil:
		out.State, out.Error, out.Hint = stateFailing, r.Error.Error(), hintOf(r.Error)
	case r.Bases == 0:
		out.State = stateEmpty
	case r.Lag.Seconds() > behindAfter:
		out.State = stateBehind
	}
	return out
}
