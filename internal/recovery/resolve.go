package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Resolve turns a target in an engine's own terms into a position or a time. What the engine cannot tell from the
// value alone, xid:N and name:X, is looked for in the commits of the log, newest first; a target with before- is
// the commit before it.
func Resolve(ctx context.Context, o Origin, spool engine.Log, e engine.Engine, t history.Target) (history.Target, error) {
	if t.Kind != history.Custom {
		return t, nil
	}
	var keys []string
	if r, ok := e.(engine.Resolver); ok {
		resolved, known, err := r.Resolve(t)
		if err != nil {
			return t, &BadTargetError{Target: t, Err: err}
		}
		if known {
			return resolved, nil
		}
		keys = r.Targets()
	}
	match, err := matcher(t)
	if err != nil {
		return t, err
	}
	if match == nil {
		for _, key := range []string{"name", "xid"} {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		return t, &UnknownTargetError{Target: t, Engine: e.Kind(), Keys: keys}
	}
	return findMark(ctx, o, spool, t, match)
}

// AskedFor puts the words of who asked into the error for a target that cannot be reached: it was looked for by the
// position or time that it came to.
func AskedFor(t history.Target, err error) error {
	e, ok := errors.AsType[*history.UnreachableError](err)
	if !ok {
		return err
	}
	asked := *e
	asked.Target = t
	return &asked
}

// BadTargetError says that the value of a target cannot be read, or means nothing.
type BadTargetError struct {
	Target history.Target
	Err    error
}

func (e *BadTargetError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *BadTargetError) Unwrap() error { return e.Err }

// NoCommitError says that the log is whole and holds no commit of that name or number.
type NoCommitError struct {
	Source string
	Target history.Target
}

func (e *NoCommitError) Error() string {
	return fmt.Sprintf("recover %s to %s: no commit in the log is known by it", e.Source, e.Target)
}

// Hint says how else the moment can be named.
func (e *NoCommitError) Hint() string {
	return "name it by its time; history lists what can be reached"
}

// UnknownTargetError says that the engine knows no such key.
type UnknownTargetError struct {
	Target history.Target
	Engine string
	Keys   []string
}

func (e *UnknownTargetError) Error() string {
	return fmt.Sprintf("resolve target %s: %s knows no %q", e.Target, e.Engine, e.Target.Key)
}

// Hint lists what can be asked for.
func (e *UnknownTargetError) Hint() string {
	return "use latest, a time, or one of " + strings.Join(e.Keys, ":, ") + ":"
}

// matcher recognizes the commit a target means; nil for a key that commits do not carry.
func matcher(t history.Target) (func(history.Mark) bool, error) {
	switch t.Key {
	case "name":
		return func(m history.Mark) bool { return m.Name == t.Value }, nil
	case "xid":
		n, err := strconv.ParseUint(t.Value, 10, 64)
		if err != nil || n == 0 {
			return nil, &BadTargetError{Target: t, Err: fmt.Errorf("read target %s: want a transaction number", t)}
		}
		return func(m history.Mark) bool { return m.XID == n }, nil
	default:
		return nil, nil
	}
}

// findMark goes through the log from its end.
func findMark(ctx context.Context, o Origin, spool engine.Log, t history.Target, match func(history.Mark) bool) (history.Target, error) {
	segments := slices.Clone(o.History.Segments)
	slices.SortStableFunc(segments, func(a, b history.Segment) int { return b.To.Compare(a.To) })
	log := joinLogs(segments, o.OpenLog, spool)
	for i := range segments {
		before, found, err := scan(ctx, log, i, match)
		if err != nil {
			return t, fmt.Errorf("resolve target %s: %w", t, err)
		}
		if found == nil {
			continue
		}
		at := found.Position
		if t.Before {
			at = newestBase(o.History.Bases, before, at)
		}
		return history.Target{Kind: history.AtPosition, Position: at}, nil
	}
	return t, &NoCommitError{Source: o.History.Source, Target: t}
}

// newestBase is the last place before end, from begin on, at which a base stands: between two commits all places show
// the same data, and a base cannot be brought to one before its own.
func newestBase(bases []history.Base, begin, end history.Position) history.Position {
	at := begin
	for _, b := range bases {
		if b.Stop.Timeline == end.Timeline && at.Before(b.Stop) && b.Stop.Before(end) {
			at = b.Stop
		}
	}
	return at
}

// scan looks for a commit in one segment and gives the position before it too.
func scan(ctx context.Context, log engine.Log, i int, match func(history.Mark) bool) (before history.Position, found *history.Mark, err error) {
	s, err := log.Open(ctx, i)
	if err != nil {
		return before, nil, fmt.Errorf("open segment %s: %w", log.Segments()[i].Name, err)
	}
	defer s.Close()
	before = log.Segments()[i].From
	for m, err := range s.Marks(ctx) {
		if err != nil {
			return before, nil, fmt.Errorf("read segment %s: %w", log.Segments()[i].Name, err)
		}
		if match(m) {
			return before, &m, nil
		}
		before = m.Position
	}
	return before, nil, nil
}

// LastCommit is the position at which a chain that ends in time must stop: that of the last commit up to c.Until,
// or of the base if there is none. next is the first commit that must not be replayed, zero if the chain holds none.
// Commits of a parent timeline behind the fork where the chain left it do not count. log holds the segments of the
// chain.
func LastCommit(ctx context.Context, c history.Chain, log engine.Log) (last, next history.Position, err error) {
	last = c.Base.Stop
	for i := len(c.Segments) - 1; i >= 0; i-- {
		found, first := history.Position{}, history.Position{}
		sort := func(m history.Mark) bool {
			switch seq := m.Position.Seq; {
			case seq <= c.Base.Stop.Seq || seq > leftAt(c, m.Position.Timeline):
			case !m.Time.After(c.Until):
				found, first = m.Position, history.Position{}
			case first.IsZero():
				first = m.Position
			}
			return false
		}
		if _, _, err := scan(ctx, log, i, sort); err != nil {
			return last, next, err
		}
		if !first.IsZero() {
			next = first
		}
		if !found.IsZero() {
			return found, next, nil
		}
	}
	return last, next, nil
}

// leftAt is the sequence at which the chain leaves a timeline.
func leftAt(c history.Chain, timeline uint32) uint64 {
	for _, f := range c.Forks {
		if f.At.Timeline == timeline {
			return f.At.Seq
		}
	}
	return ^uint64(0)
}
