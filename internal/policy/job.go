package policy

import (
	"fmt"
	"time"
)

const (
	jobPatience = 15 * time.Minute // work may begin so much after it is due
	jobTries    = 3                // failures in a row that are told at once
	jobLost     = 24 * time.Hour   // late by so much is critical
)

// jobs looks whether what is due is done.
func (j *judge) jobs() {
	for _, job := range j.f.Jobs {
		if job.Due.IsZero() && job.Trouble.Text == "" {
			continue
		}
		f := Finding{Objective: Schedule, Part: job.Name, Severity: Warning, Do: or(job.Trouble.Do, "see what the plan says: backstay plan "+j.f.Source)}
		b := breach{Finding: f, patience: jobPatience}
		late := j.now.Sub(job.Due)
		switch {
		case job.Trouble.Text != "":
			b.Since = job.Trouble.Since
			b.Reason = fmt.Sprintf("%s of %s fails for %s, %s: %s", job.Name, j.f.Source, span(j.now.Sub(b.Since)), plural(job.Tries, "try", "tries"), job.Trouble.Text)
			if job.Tries >= jobTries {
				b.patience = 0
			}
		case late <= 0:
			continue
		default:
			b.Since = job.Due
			b.Reason = fmt.Sprintf("%s of %s was due %s ago, at %s, and has not begun (limit %s)", job.Name, j.f.Source, span(late), clock(job.Due), span(jobPatience))
			if job.Why != "" {
				b.Reason += ": " + job.Why
			}
		}
		if j.now.Sub(b.Since) > jobLost {
			b.Severity = Critical
		}
		j.add(b)
	}
}
