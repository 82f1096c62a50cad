package policy

import (
	"fmt"
	"strings"
	"time"
)

const (
	leastAgeSlack = 5 * time.Minute
	mostAgeSlack  = 24 * time.Hour
	neglected     = 3 // ages of so many times the bound are critical
)

// ageSlack is how long over its bound an age may be: work that is due daily is done a little later on one day than the day
// before.
func ageSlack(bound time.Duration) time.Duration {
	return min(max(bound/4, leastAgeSlack), mostAgeSlack)
}

// old is the breach of something that was done last at last, or never.
func (j *judge) old(last time.Time, bound time.Duration, f Finding, never, what string) {
	from := last
	if last.IsZero() {
		from = j.protected()
	}
	age := j.now.Sub(from)
	if bound <= 0 || age <= bound {
		return
	}
	f.Severity, f.Since = Warning, from.Add(bound)
	if age > neglected*bound {
		f.Severity = Critical
	}
	f.Reason = fmt.Sprintf("%s %s ago (limit %s)", what, span(age), span(bound))
	if last.IsZero() {
		f.Reason = fmt.Sprintf("%s, and it is protected for %s (limit %s)", never, span(age), span(bound))
	}
	j.add(breach{Finding: f, patience: ageSlack(bound)})
}

// drills looks when a restore was proved last, and what the newest drill came to.
func (j *judge) drills() {
	var proved, tried, told DrillRun // told is the newest that says something of the backup
	for _, d := range j.f.Drills {
		if d.Verdict == Proved && d.Time.After(proved.Time) {
			proved = d
		}
		if d.Time.After(tried.Time) {
			tried = d
		}
		if d.Verdict != EnvironmentBad && d.Time.After(told.Time) {
			told = d
		}
	}
	run := "run one: backstay drill " + j.f.Source
	old := Finding{Objective: Drill, Do: run}
	if tried.Verdict == EnvironmentBad {
		old.Do = "the last try failed on its host (" + tried.Reason + "): mend that, or drill on another host"
	}
	j.old(proved.Time, j.o.DrillAge, old, "no drill has proved a restore", "the last restore was proved")
	where := ""
	if told.Repository != "" {
		where = " from " + told.Repository
	}
	switch told.Verdict {
	case CheckFailed:
		j.add(breach{Finding: Finding{Objective: Drill, Part: "verdict", Severity: Critical, Since: told.Time,
			Reason: fmt.Sprintf("what the last drill%s recovered does not answer as its owner expects (limit: no check may fail): %s", where, told.Reason),
			Do:     "see whether the data or the expectation is wrong: put the same question to the source; backstay drills " + j.f.Source + " shows the answers"}})
	case DataDiffers:
		j.add(breach{Finding: Finding{Objective: Drill, Part: "verdict", Severity: Critical, Since: told.Time,
			Reason: fmt.Sprintf("what the last drill%s recovered is not what the source had there (limit: none may differ): %s", where, told.Reason),
			Do:     "keep the repository as it is and drill the same moment again; take a new base; see backstay check " + j.f.Source + " --deep, and report it if the repository is whole"}})
	case BackupBad:
		j.add(breach{Finding: Finding{Objective: Drill, Part: "verdict", Severity: Critical, Since: told.Time,
			Reason: fmt.Sprintf("the last drill%s could not recover the source (limit: none may fail): %s", where, told.Reason),
			Do:     "take a new base, check and repair the repository, and drill again"}})
	}
}

// checks looks when each repository was read last, and what is damaged in it.
func (j *judge) checks() {
	for _, r := range j.f.Repositories {
		j.old(r.Checked, j.o.CheckAge, Finding{Objective: Check, Repository: r.Name, Do: "run one: backstay check " + j.f.Source},
			r.Name+" was never read", "some of "+r.Name+" was read last")
		j.old(r.DeepChecked, j.o.DeepCheckAge, Finding{Objective: DeepCheck, Repository: r.Name, Do: "run one, with a key: backstay check " + j.f.Source + " --deep"},
			r.Name+" was never decrypted and decoded", "some of "+r.Name+" was decrypted and decoded last")
		if len(r.Damage) > 0 {
			since := r.DamageSince
			if since.IsZero() {
				since = j.now
			}
			j.add(breach{Finding: Finding{Objective: Check, Repository: r.Name, Part: "damage", Severity: Critical, Since: since,
				Reason: fmt.Sprintf("%s in %s (limit: none): %s", plural(len(r.Damage), "damaged object", "damaged objects"), r.Name, some(r.Damage)),
				Do:     "repair it from another repository: backstay check " + j.f.Source + " --repair; else take a new base"}})
		}
	}
}

// some names the first few.
func some(words []string) string {
	const few = 3
	if len(words) <= few {
		return strings.Join(words, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(words[:few], "; "), len(words)-few)
}
