package drill

import (
	"errors"
	"fmt"
	"strings"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/recovery"
)

// blame sorts a failure into the report. Whatever is not plainly the backup's fault is the environment's: a drill
// that cries wolf is switched off.
func (r *Report) blame(err error) {
	r.Verdict, r.Reason = EnvironmentBad, err.Error()
	if d, ok := errors.AsType[*recovery.DamageError](err); ok {
		r.Verdict, r.Lost, r.Damaged, r.Alternatives = BackupBad, d.Lost, &d.Object, d.Alternatives
		return
	}
	_, missed := errors.AsType[*recovery.MissedError](err)
	_, damaged := recovery.Damaged(err)
	if missed || damaged {
		r.Verdict, r.Lost = BackupBad, r.part()
	}
}

// part names what is not proved when no single object is to blame.
func (r *Report) part() string {
	switch {
	case r.Base == "":
		return "nothing in this repository can be relied on until it is checked"
	case r.Segments == 0:
		return fmt.Sprintf("base %s is not proved", r.Base)
	default:
		return fmt.Sprintf("base %s with the %d segments up to position %s is not proved", r.Base, r.Segments, r.Want)
	}
}

// judge turns the answers of the server into the verdict.
func (r *Report) judge(checks []engine.Check) {
	r.Checks = checks
	var failed []string
	for _, c := range checks {
		if !c.OK {
			failed = append(failed, c.Name+": "+c.Detail)
		}
	}
	switch {
	case len(failed) > 0:
		r.Verdict, r.Reason, r.Lost = BackupBad, "the restored data is damaged: "+strings.Join(failed, "; "), r.part()
	case len(checks) == 0:
		r.Verdict, r.Reason = EnvironmentBad, "the server was asked nothing"
	default:
		r.Verdict = Proved
		r.Reason = fmt.Sprintf("the server stands at position %s and passed %d checks", r.Reached.Position.Plain(), len(checks))
	}
}
