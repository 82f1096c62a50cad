package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
)

// ID names a job. It prints as "orders base/full". An ID without a Kind stands for the source itself, where a whole source is paused.
type ID struct {
	Source string // "" for the host's own jobs
	Kind   string // base/full, drill, check, deep-check, retention, sweep: what stands before a slash is the noun
}

// hostName stands for the empty source in print.
const hostName = "(host)"

func (id ID) String() string {
	source := id.Source
	if source == "" {
		source = hostName
	}
	if id.Kind == "" {
		return source
	}
	return source + " " + id.Kind
}

// MarshalText prints id, also as a key of JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText printed.
func (id *ID) UnmarshalText(text []byte) error {
	source, kind, _ := strings.Cut(string(text), " ")
	if source == "" || strings.Contains(kind, " ") {
		return fmt.Errorf("parse job %s: write a source and a kind, as in orders base/full", quote(string(text)))
	}
	if source == hostName {
		source = ""
	}
	*id = ID{source, kind}
	return nil
}

// noun is the kind in words: "full base", "deep check".
func (id ID) noun() string {
	noun, variant, ok := strings.Cut(id.Kind, "/")
	if ok {
		noun = variant + " " + noun
	}
	return strings.ReplaceAll(noun, "-", " ")
}

// of is the job in words: "full base of orders".
func (id ID) of() string {
	if id.Source == "" {
		return id.noun()
	}
	return id.noun() + " of " + id.Source
}

// Job is something that is done again and again. Doing it twice changes nothing: that is what whoever runs it promises.
type Job struct {
	ID      ID
	Expr    Expr   // zero means that only events start it
	Words   string // when it is done, before its kind, where the expression is not what people wrote; "": the expression
	Hours   Hours
	After   []ID          // begins after these in each round; it never waits for one that is paused or has given up
	Longest time.Duration // it is told to stop after this long; zero means no bound
	Retry   Retry
	Class   string // jobs of one class share a bound: scratch, network, …; "" has only the bound on all
}

func (j Job) timing() Timing {
	return Timing{Expr: j.Expr, Hours: j.Hours, Key: j.ID.String()}
}

// Retry is what happens after a run failed.
type Retry struct {
	Tries int            // runs for one occasion; less than 1 means 3
	Wait  backoff.Policy // between them; zero fields mean 1m, 30m and 2
}

func (r Retry) withDefaults() Retry {
	if r.Tries < 1 {
		r.Tries = 3
	}
	if r.Wait.Min <= 0 {
		r.Wait.Min = time.Minute
	}
	if r.Wait.Max <= 0 {
		r.Wait.Max = max(30*time.Minute, r.Wait.Min)
	}
	return r
}

// A CycleError names jobs that wait for each other.
type CycleError struct {
	Jobs []ID // the first is the last too
}

func (e *CycleError) Error() string {
	names := make([]string, len(e.Jobs))
	for i, id := range e.Jobs {
		names[i] = id.String()
	}
	return "order jobs: each of these waits for the next: " + strings.Join(names, " → ")
}

// Hint says how to break it.
func (e *CycleError) Hint() string { return "take one of these sources out of another's after" }

// Validate reports what makes jobs impossible to run: no name, the same name twice, an After that is no job, and a cycle of After
// as a CycleError.
func Validate(jobs []Job) error {
	byID := make(map[ID]*Job, len(jobs))
	var errs []error
	for i := range jobs {
		j := &jobs[i]
		if err := validateID(j.ID); err != nil {
			errs = append(errs, err)
		}
		if byID[j.ID] != nil {
			errs = append(errs, fmt.Errorf("order jobs: there are two of %s", j.ID))
		}
		byID[j.ID] = j
	}
	for i := range jobs {
		for _, on := range jobs[i].After {
			if byID[on] == nil {
				errs = append(errs, fmt.Errorf("order jobs: %s comes after %s, which does not exist", jobs[i].ID, on))
			}
		}
	}
	if cycle := findCycle(jobs, byID); cycle != nil {
		errs = append(errs, &CycleError{cycle})
	}
	return errors.Join(errs...)
}

func validateID(id ID) error {
	var back ID
	text, _ := id.MarshalText()
	if err := back.UnmarshalText(text); err != nil || back != id || id.Kind == "" {
		return fmt.Errorf("order jobs: %q of %q is no name: a kind is needed, and no spaces", id.Kind, id.Source)
	}
	return nil
}

// findCycle returns the jobs of one cycle, the first again at the end, or nil.
func findCycle(jobs []Job, byID map[ID]*Job) []ID {
	const (
		onPath = 1
		done   = 2
	)
	mark := make(map[ID]int, len(jobs))
	var path []ID
	var visit func(id ID) []ID
	visit = func(id ID) []ID {
		switch mark[id] {
		case done:
			return nil
		case onPath:
			for i := range path {
				if path[i] == id {
					return append(path[i:len(path):len(path)], id)
				}
			}
		}
		job := byID[id]
		if job == nil {
			return nil
		}
		mark[id] = onPath
		path = append(path, id)
		for _, on := range job.After {
			if cycle := visit(on); cycle != nil {
				return cycle
			}
		}
		path = path[:len(path)-1]
		mark[id] = done
		return nil
	}
	for i := range jobs {
		if cycle := visit(jobs[i].ID); cycle != nil {
			return cycle
		}
	}
	return nil
}
