package archive

import (
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Status is how the protection of a source is doing.
type Status struct {
	Source      engine.Status
	Identity    engine.Identity
	Connected   bool
	Following   bool
	Gap         *history.GapError // the log broke there, and no base stands behind it yet; nil if all is well
	Remains     string            // what stays behind at the source
	SourceError error             // why it is not followed; nil if it is
	SourceSince time.Time

	Position history.Position // durable in the spool
	Whole    history.Moment   // nothing beyond the position was committed at this time

	SpoolBytes    int64 // on disk, sealed segments included
	SpoolMaxBytes int64
	SpoolFull     bool
	Sealed        int   // full segments that some repository still waits for
	SealedBytes   int64 // their size

	Repositories []RepositoryStatus
}

// RepositoryStatus is how one repository is doing.
type RepositoryStatus struct {
	Name     string
	Store    string // "" before it was opened
	Opened   bool
	Position history.Position // up to where there is log
	Time     time.Time        // everything committed up to this time can be recovered from there; zero without a base
	Lag      time.Duration    // age of the oldest commit that is not durable there; 0 if there is none; behind a gap that no base heals yet, the age of Time
	LagBytes int64            // log in the spool that is not durable there, and so waits for it
	Bases    int
	LastBase time.Time
	Segments int
	Tips     int
	Stored   int64 // bytes, as of when it was last read
	Error    error // nil if all is well
	Since    time.Time
	Durable  Lag // from commit to receipt, of the last five minutes
}

// Status says how everything is doing. It is cheap and asks no store.
func (a *Archive) Status() Status {
	a.mu.Lock()
	st := Status{Identity: a.identity, Following: a.following, Gap: a.gap, Whole: a.whole, Source: a.unfollowed, SpoolFull: a.full, SpoolMaxBytes: a.c.MaxSpool, Remains: a.remains}
	source, open := a.connected, a.work != nil
	a.mu.Unlock()
	st.SourceSince, st.SourceError = a.source.state()
	if source != nil {
		asked := st.Source
		st.Connected, st.Source, st.Remains = true, source.Status(), remains(source)
		if asked.HeldBytes > st.Source.HeldBytes { // while nothing is taken the stream does not see what is written
			st.Source.HeldBytes, st.Source.HeldRoom = asked.HeldBytes, asked.HeldRoom
		}
	}
	if !open {
		return st
	}
	sp := a.sp.Stats()
	st.Position, st.SpoolBytes = sp.Last, sp.Bytes
	st.Sealed, st.SealedBytes = a.shelf.stats()
	for _, s := range a.shippers {
		st.Repositories = append(st.Repositories, s.status(a.c.Now(), st.Whole, st.Gap))
	}
	return st
}

// remains is what stays behind at a source, "" for nothing.
func remains(source engine.Source) string {
	if r, ok := source.(engine.Remainer); ok {
		return r.Remains()
	}
	return ""
}

// Received is the end of the log that is durable in the spool; zero before the spool was opened.
func (a *Archive) Received() history.Position {
	if a.workCtx() == nil {
		return history.Position{}
	}
	return a.sp.Stats().Last
}

// Stored is up to where there is log in the repository that has most of it; zero before one was opened. It asks no source.
func (a *Archive) Stored() (at history.Position) {
	if a.workCtx() == nil {
		return at
	}
	for _, s := range a.shippers {
		if p := s.durableEnd().Position; at.Before(p) {
			at = p
		}
	}
	return at
}

// Confirmed is up to where the source may have been told that its log is safe: what its ack says. It is zero before the spool was opened.
func (a *Archive) Confirmed() history.Position {
	if a.c.Ack != AckRepository {
		return a.Received()
	}
	if a.workCtx() == nil {
		return history.Position{}
	}
	var ends []history.Position
	for _, s := range a.shippers {
		ends = append(ends, s.durableEnd().Position)
	}
	slices.SortFunc(ends, func(x, y history.Position) int { return y.Compare(x) })
	return ends[a.acked()-1]
}

// acked is how many repositories a piece waits for with AckRepository.
func (a *Archive) acked() int { return min(max(a.c.Copies, 1), len(a.shippers)) }

// status says how s is doing, where whole is up to when the source is known to have committed nothing more. What was committed after
// a gap is not known, and counts from when the log was whole.
func (s *shipper) status(now time.Time, whole history.Moment, gap *history.GapError) RepositoryStatus {
	v := s.look()
	safe := v.recoverable()
	if safe.Position.Equal(whole.Position) {
		safe = laterMoment(safe, whole)
	}
	st := RepositoryStatus{
		Name: s.c.Name, Position: v.durable.Position, Time: safe.Time, Bases: v.bases, LastBase: v.lastBase,
		Segments: v.full, Tips: v.tips, Stored: v.stored, Durable: s.lags.read(now),
	}
	if r := s.opened(); r != nil {
		st.Opened, st.Store = true, r.Store().String()
	}
	st.Lag, st.LagBytes = s.a.backlog.behind(v.durable.Position, now)
	if (gap != nil || safe.Position.Before(v.durable.Position)) && !safe.Time.IsZero() {
		st.Lag = max(st.Lag, now.Sub(safe.Time))
	}
	if st.Since, st.Error = s.outage.state(); st.Error == nil {
		st.Since, st.Error = s.copying.state()
	}
	return st
}
