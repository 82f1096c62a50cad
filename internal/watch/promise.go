package watch

import (
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/policy"
	"github.com/backstaydb/backstay/internal/retention"
	"github.com/backstaydb/backstay/internal/schedule"
)

// objectivesOf are the promises of a source as policy takes them.
func objectivesOf(s Source) policy.Objectives {
	o := policy.Objectives{
		RPO: time.Duration(s.RPO), RTO: time.Duration(s.RTO), Window: time.Duration(s.Window), Copies: s.Copies(),
		CheckAge: time.Duration(s.CheckEvery), DeepCheckAge: time.Duration(s.DeepCheckEvery), DrillAge: drillAge(s.Drill.Every),
	}
	if s.Window > 0 {
		o.Coverage = 1
	}
	for _, e := range s.Exceptions {
		o.Exceptions = append(o.Exceptions, policy.Exception{Objective: policy.Objective(e.Objective), End: e.Until.End(), Reason: e.Reason, By: e.By})
	}
	return o
}

// drillAge is how old the newest drill may become: twice the longest time between two of them, so that one that failed can be
// repeated before the promise is broken.
func drillAge(e schedule.Expr) time.Duration {
	if e.IsZero() {
		return 0
	}
	var longest time.Duration
	at := e.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	for range 60 {
		next := e.Next(at)
		if next.IsZero() {
			break
		}
		longest, at = max(longest, next.Sub(at)), next
	}
	return 2 * longest
}

// Rules are what is kept of a source, as retention takes it.
func Rules(p config.Promise, holds []config.Hold) (retention.Rules, error) {
	k := p.Keep
	r := retention.Rules{Window: time.Duration(p.Window), Last: k.Last, Daily: k.Daily, Weekly: k.Weekly, Monthly: k.Monthly, Yearly: k.Yearly, Minimum: k.AtLeast()}
	if k.Zone != "" {
		zone, err := time.LoadLocation(k.Zone)
		if err != nil {
			return r, fmt.Errorf("find zone of keep: %w", err)
		}
		r.Zone = zone
	}
	for _, h := range holds {
		r.Holds = append(r.Holds, retention.Hold{End: h.Until.End(), Reason: h.Reason, By: h.By})
	}
	return r, nil
}
