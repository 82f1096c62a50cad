package recovery

import (
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Local is what a plan takes from the spool of this host: log that no repository had when the plan was made.
type Local struct {
	Segments int              `json:"segments"`
	Commits  int64            `json:"commits"` // at most: the plan may end inside the last segment
	Bytes    int64            `json:"bytes"`   // of plain log
	To       history.Position `json:"to"`
	Until    time.Time        `json:"until"`
}

// WithSpool adds to a history the log that is durable on this host and not yet in the repository. Segments keep
// the names that spool knows them by, so that Run finds them again. whole says until when nothing was committed that is
// in neither.
func WithSpool(h history.History, spool engine.Log, whole history.Moment) history.History {
	h.Segments = append(h.Segments[:len(h.Segments):len(h.Segments)], spool.Segments()...)
	if whole.Time.After(h.Whole.Time) && !whole.Position.Before(h.Whole.Position) {
		h.Whole = whole
	}
	return h
}

// NoteSpool fills in Local. Plans of a history made by WithSpool are to say what comes from where.
func (p *Plan) NoteSpool(spool engine.Log) {
	if spool == nil {
		return
	}
	own := map[string]bool{}
	for _, s := range spool.Segments() {
		own[s.Name] = true
	}
	var l Local
	for _, s := range p.Chain.Segments {
		if own[s.Name] {
			l.Segments++
			l.Commits += s.Commits
			l.Bytes += s.Bytes
			l.To, l.Until = s.To, s.Until
		}
	}
	if l.Segments == 0 {
		return
	}
	if stop := p.Chain.Stop; !stop.IsZero() && stop.Before(l.To) {
		l.To = stop
	}
	if p.Target.Kind == history.AtTime && p.Target.Time.Before(l.Until) {
		l.Until = p.Target.Time
	}
	p.Local = &l
}

// String is one line for people.
func (l Local) String() string {
	return fmt.Sprintf("from this host's spool: up to %d commits, up to position %s of %s", l.Commits, l.To.Plain(), stamp(l.Until))
}
