package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
)

// DamageError says that the backup itself is bad: an object is missing or does not hold what it must, or the engine
// refuses what it holds.
type DamageError struct {
	Source       string
	Object       Object
	Lost         string        // which part of the data that is, for people
	Alternatives []Alternative // who else could reach the target
	Err          error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("recover %s from %s: %s is damaged: %v", e.Source, e.Object.Repository, e.Object.Name, e.Err)
}

// Unwrap gives the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// Hint names what is left.
func (e *DamageError) Hint() string {
	if len(e.Alternatives) == 0 {
		return "no other base or repository reaches this target; " + e.Lost + ", all else can still be recovered"
	}
	var ways []string
	for _, a := range e.Alternatives {
		ways = append(ways, fmt.Sprintf("base %s of repository %s", a.Base, a.Repository))
	}
	return "the same target can be recovered from " + strings.Join(ways, ", or from ")
}

// MissedError says that the engine did not stop at the target.
type MissedError struct {
	Want string
	Got  string
}

func (e *MissedError) Error() string {
	return fmt.Sprintf("the engine stopped at %s instead of %s", e.Got, e.Want)
}

// Damaged reports whether an error speaks of what the repository holds, not of the way to it or of this host, and
// names the object if it is one: something is missing or altered, is not covered by a signature that counts, or an
// old state was put back; or the engine says of itself that data is damaged, by a method Damaged.
func Damaged(err error) (object string, ok bool) {
	if c, ok := errors.AsType[*repository.CorruptError](err); ok {
		return c.Object, true
	}
	if c, ok := errors.AsType[*repository.UnlistedError](err); ok {
		return c.Object, true
	}
	if d, ok := errors.AsType[interface {
		error
		Damaged() bool
	}](err); ok {
		return "", d.Damaged()
	}
	return "", forged(err)
}

// forged reports whether the signatures of the repository say something else than they did, or nothing that counts.
func forged(err error) bool {
	for _, is := range []func(error) bool{is[*ledger.RollbackError], is[*ledger.UntrustedError], is[*ledger.BlockedError], is[*repository.KeyError]} {
		if is(err) {
			return true
		}
	}
	return false
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// baseError sorts out an error from reading a base.
func (r *run) baseError(err error) error {
	object, bad := Damaged(err)
	if !bad && !(errors.Is(err, fs.ErrNotExist) && !r.onDisk(err)) {
		return fmt.Errorf("lay base %s: %w", r.plan.Chain.Base.ID, err)
	}
	o := Object{Repository: r.origin().Name, Name: object, Base: r.plan.Chain.Base.ID}
	if o.Name == "" {
		o.Name = "base/" + o.Base
	}
	lost := fmt.Sprintf("base %s is lost", o.Base)
	return &DamageError{Source: r.plan.Source, Object: o, Lost: lost, Alternatives: Alternatives(r.deps.Origins, o, r.plan.Target), Err: err}
}

// onDisk reports whether an error is about a file in the folder that is restored to.
func (r *run) onDisk(err error) bool {
	p, ok := errors.AsType[*fs.PathError](err)
	return ok && strings.HasPrefix(p.Path, r.folder.path)
}

// logError sorts out an error from Replay: what the log said while it was read goes before what the engine made of
// it.
func (r *run) logError(log *watchedLog, err error) error {
	segment, cause := log.failure()
	if cause == nil {
		return r.replayError(log, err)
	}
	if _, bad := Damaged(cause); !bad && !errors.Is(cause, fs.ErrNotExist) {
		return fmt.Errorf("read segment %s: %w", segment.Name, cause)
	}
	return r.segmentDamage(segment, cause)
}

// replayError blames the log for what the engine refused, unless this host is at fault.
func (r *run) replayError(log *watchedLog, err error) error {
	if Environment(err) {
		return fmt.Errorf("replay log: %w", err)
	}
	segment, ok := log.last()
	if !ok {
		o := Object{Repository: r.origin().Name, Name: "base/" + r.plan.Chain.Base.ID, Base: r.plan.Chain.Base.ID}
		return &DamageError{Source: r.plan.Source, Object: o, Lost: fmt.Sprintf("base %s is lost", o.Base),
			Alternatives: Alternatives(r.deps.Origins, o, r.plan.Target), Err: fmt.Errorf("replay log: %w", err)}
	}
	return r.segmentDamage(segment, fmt.Errorf("replay log: %w", err))
}

func (r *run) segmentDamage(s history.Segment, err error) error {
	o := Object{Repository: r.origin().Name, Name: s.Name}
	if r.fromSpool(s) {
		o.Repository = spoolName
	}
	lost := fmt.Sprintf("what was committed after position %s and up to %s is lost, and what follows it up to the next base", s.From.Plain(), s.To.Plain())
	return &DamageError{Source: r.plan.Source, Object: o, Lost: lost, Alternatives: Alternatives(r.deps.Origins, o, r.plan.Target), Err: err}
}
