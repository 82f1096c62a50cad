package watch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/schedule"
)

// The kinds of job. A base has its type behind a slash.
const (
	KindBase      = "base"
	KindDrill     = "drill"
	KindCheck     = "check"
	KindDeepCheck = "deep-check"
	KindRetention = "retention"

	KindFingerprint = "fingerprint"
)

// fullBase is the type of base that every engine takes.
const fullBase = "full"

// Classes of jobs that share a bound: a drill needs the disk of the whole source, a base and a check read all of it.
const (
	classScratch = "scratch"
	classRead    = "read"
)

// Longest times, far beyond what is usual: what takes so long hangs.
const (
	longestBase  = 24 * time.Hour
	longestDrill = 24 * time.Hour
	longestCheck = 48 * time.Hour

	longestFingerprint = 10 * time.Minute
)

// daily is when retention runs.
var daily = must("daily")

// jobsOf is all that is to be done for the sources.
func jobsOf(sources []Source) []schedule.Job {
	var jobs []schedule.Job
	taken := map[string]bool{} // sources that have bases taken
	for _, s := range sources {
		taken[s.Name] = len(s.bases()) > 0
	}
	for _, s := range sources {
		hours := schedule.Hours{Prefer: s.Hours.Prefer, Forbid: s.Hours.Forbid}
		always := func(kind string, expr schedule.Expr, class string, longest time.Duration, after ...schedule.ID) {
			jobs = append(jobs, schedule.Job{ID: schedule.ID{Source: s.Name, Kind: kind}, Expr: expr, Hours: hours, After: after, Longest: longest, Class: class})
		}
		add := func(kind string, expr schedule.Expr, class string, longest time.Duration) {
			if !expr.IsZero() {
				always(kind, expr, class, longest)
			}
		}
		for _, kind := range s.bases() {
			var after []schedule.ID
			for _, other := range s.After {
				if taken[other] {
					after = append(after, basesOf(sources, other)...)
				}
			}
			always(KindBase+"/"+kind, s.Base[kind], classRead, longestBase, after...)
		}
		if s.Fingerprints && s.Drill.Fingerprints() {
			add(KindFingerprint, s.Drill.Every, "", longestFingerprint)
		}
		read := func(kind string, period config.Span) {
			add(kind, every(period), classRead, longestCheck)
			if period > 0 {
				jobs[len(jobs)-1].Words = often(period)
			}
		}
		read(KindCheck, s.CheckEvery)
		if s.Reads {
			add(KindDrill, s.Drill.Every, classScratch, longestDrill)
			read(KindDeepCheck, s.DeepCheckEvery)
		}
		if s.forgets() {
			add(KindRetention, daily, "", time.Hour)
		}
	}
	return jobs
}

// basesOf are the base jobs of one source.
func basesOf(sources []Source, name string) []schedule.ID {
	i := slices.IndexFunc(sources, func(s Source) bool { return s.Name == name })
	var ids []schedule.ID
	for _, kind := range sources[i].bases() {
		ids = append(ids, schedule.ID{Source: name, Kind: KindBase + "/" + kind})
	}
	return ids
}

// bases are the types of base that are taken. Where none has a time of its own, a full one is taken when the log behind the newest
// asks for it.
func (s Source) bases() []string {
	if len(s.Base) == 0 && (s.BaseAfter > 0 || s.RTO > 0) {
		return []string{fullBase}
	}
	return slices.Sorted(maps.Keys(s.Base))
}

// forgets reports whether anything of a source may ever be forgotten: somebody said what is kept.
func (s Source) forgets() bool {
	k := s.Keep
	return s.Window > 0 || k.Last+k.Daily+k.Weekly+k.Monthly+k.Yearly > 0
}

// every is the expression of a period, with a margin: done at its end it would be late by as long as it takes.
func every(period config.Span) schedule.Expr {
	if period == 0 {
		return schedule.Expr{}
	}
	minutes := max(1, int64(time.Duration(period)*9/10/time.Minute))
	return must(fmt.Sprintf("every %dm", minutes))
}

// often is a period in words: what was promised, and not the shorter one that keeps it.
func often(period config.Span) string {
	switch time.Duration(period) {
	case 24 * time.Hour:
		return "daily"
	case 7 * 24 * time.Hour:
		return "weekly"
	}
	return "every " + period.String()
}

func must(text string) schedule.Expr {
	e, err := schedule.Parse(text)
	if err != nil {
		panic(err) // the words are ours
	}
	return e
}

// isBase reports whether a job takes bases.
func isBase(kind string) bool { return strings.HasPrefix(kind, KindBase+"/") }

// baseType is what stands behind the slash of a base job.
func baseType(kind string) string {
	_, t, _ := strings.Cut(kind, "/")
	return t
}
