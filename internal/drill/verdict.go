package drill

import (
	"errors"
	"fmt"
	"slices"

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

// sound reports whether the engine asked something and found nothing wrong.
func (r *Report) sound() bool {
	return len(r.Checks) > 0 && !slices.ContainsFunc(r.Checks, Check.failed)
}

// judge turns the answers into the verdict. That the engine finds damage goes before everything; an answer that the owner did not
// want goes before questions that could not be put.
func (r *Report) judge() {
	asked := 0
	for _, c := range r.Checks {
		if c.Owner {
			asked++
		}
	}
	own := len(r.Checks) - asked
	damage := told(r.Checks, func(c Check) bool { return c.failed() && !c.Owner && c.Name != fingerprintCheck })
	unwanted := told(r.Checks, func(c Check) bool { return c.failed() && c.Owner })
	unasked := told(r.Checks, func(c Check) bool { return c.Unasked != "" })
	switch {
	case own == 0:
		r.Verdict, r.Reason = EnvironmentBad, "the server was asked nothing"
	case damage != "":
		r.Verdict, r.Reason, r.Lost = BackupBad, "the restored data is damaged: "+damage, r.part()
	case r.differs() != "":
		r.Verdict, r.Lost = DataDiffers, r.part()
		r.Reason = fmt.Sprintf("the data was restored and its structure is sound, and it is not what the source had there: %s", r.differs())
	case unwanted != "":
		r.Verdict = CheckFailed
		r.Reason = fmt.Sprintf("the data was restored and its structure is sound, and it does not answer as its owner expects: %s", unwanted)
	case unasked != "":
		r.Verdict = EnvironmentBad
		r.Reason = fmt.Sprintf("the data was restored and its structure is sound, and not all checks of its owner could be carried out: %s", unasked)
	default:
		r.Verdict = Proved
		r.Reason = fmt.Sprintf("the server stands at position %s and passed %d checks", r.Reached.Position.Plain(), len(r.Checks))
	}
}
