package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	leastPatience = 5 * time.Second // shorter outages are not told
	plainPatience = time.Minute     // the same where there is no RPO
	copySlack     = 10              // a repository that need not count may lag by so many times the RPO
	leastCopyLag  = time.Minute     // and by so much in any case
)

// patience is how long new commits may be in danger before that is told: the RPO once more.
func (j *judge) patience() time.Duration {
	if j.o.RPO <= 0 {
		return plainPatience
	}
	return max(j.o.RPO, leastPatience)
}

// durability looks whether new commits become durable in time, in as many repositories as must hold them.
func (j *judge) durability() {
	if t := j.f.Trouble; t.Text != "" {
		j.add(breach{Finding: Finding{Objective: RPO, Part: "source", Severity: Critical, Since: t.Since,
			Reason: fmt.Sprintf("nothing is captured from %s for %s: %s", j.f.Source, span(j.now.Sub(t.Since)), t.Text),
			Do:     or(t.Do, "see that the source can be reached, and that nothing else took our place there")},
			patience: j.patience(), rest: j.patience()})
	}
	if j.o.RPO <= 0 || len(j.f.Repositories) == 0 {
		return
	}
	k, n := j.o.copies(), len(j.f.Repositories)
	if k > n {
		j.add(breach{Finding: Finding{Objective: Copies, Part: "configuration", Severity: Critical, Since: j.protected(),
			Reason: fmt.Sprintf("%d copies are promised and there are only %s", k, plural(n, "repository", "repositories")),
			Do:     "add a repository, or promise fewer copies"}})
		k = n
	}
	byLag := slices.Clone(j.f.Repositories)
	slices.SortStableFunc(byLag, func(a, b Repository) int { return cmp.Compare(a.Lag, b.Lag) })
	slowest := byLag[k-1]
	if slowest.Lag <= j.o.RPO {
		return
	}
	reason := fmt.Sprintf("commits of the last %s would be lost (limit %s): %s", span(slowest.Lag), span(j.o.RPO), behind(slowest))
	if n > 1 {
		reason = fmt.Sprintf("commits of the last %s are not in %d of %d repositories (limit %s): %s", span(slowest.Lag), k, n, span(j.o.RPO), behind(slowest))
	}
	j.add(breach{Finding: Finding{Objective: RPO, Severity: Critical, Since: j.now.Add(j.o.RPO - slowest.Lag), Reason: reason,
		Do: or(slowest.Trouble.Do, "see why "+slowest.Name+" does not take what is sent to it")}, patience: j.patience(), rest: j.patience()})
}

// behind says what is wrong with a repository that lags.
func behind(r Repository) string {
	s := fmt.Sprintf("%s is %s behind", r.Name, size(r.LagBytes))
	if r.Trouble.Text != "" {
		s += " and fails (" + r.Trouble.Text + ")"
	}
	return s
}

// copies looks at each repository alone: one may be dead while the others keep the promise.
func (j *judge) copies() {
	for _, r := range j.f.Repositories {
		if t := r.Trouble; t.Text != "" {
			j.add(breach{Finding: Finding{Objective: Copies, Repository: r.Name, Severity: Warning, Since: t.Since,
				Reason: fmt.Sprintf("%s fails for %s: %s; %s", r.Name, span(j.now.Sub(t.Since)), t.Text, j.others(r)),
				Do:     or(t.Do, "see that the store can be reached and written to")}, patience: j.patience(), rest: j.patience()})
			continue
		}
		bound := max(copySlack*j.o.RPO, leastCopyLag)
		if j.o.RPO > 0 && r.Lag > bound {
			j.add(breach{Finding: Finding{Objective: Copies, Repository: r.Name, Severity: Warning, Since: j.now.Add(bound - r.Lag),
				Reason: fmt.Sprintf("%s lacks the last %s, %s (limit %s); %s", r.Name, span(r.Lag), size(r.LagBytes), span(bound), j.others(r)),
				Do:     "give it more bandwidth, or see what slows it down"}, patience: j.patience(), rest: j.patience()})
		}
	}
}

// others says who has what r lacks.
func (j *judge) others(r Repository) string {
	var have []string
	for _, o := range j.f.Repositories {
		if o.Name != r.Name && o.Trouble.Text == "" && (j.o.RPO <= 0 || o.Lag <= j.o.RPO) {
			have = append(have, o.Name)
		}
	}
	if len(have) == 0 {
		return "no other repository holds the newest commits"
	}
	return strings.Join(have, ", ") + " holds the newest commits"
}
