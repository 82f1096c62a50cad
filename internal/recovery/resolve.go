package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Resolve turns a target in an engine's own terms into a position or a time. What the engine cannot tell from the
// value alone, xid:N and name:X, is looked for in the commits of the log, newest first; a target with before- is
// the commit before it. Names and numbers come again: matches are the commits that t can mean, newest first, of which
// the first was taken. It is empty for a target that is not looked for.
func Resolve(ctx context.Context, o Origin, spool engine.Log, e engine.Engine, t history.Target) (resolved history.Target, matches []history.Mark, err error) {
	if t.Kind != history.Custom {
		return t, nil, nil
	}
	var keys []string
	sought := t
	if r, ok := e.(engine.Resolver); ok {
		resolved, known, err := r.Resolve(t)
		if err != nil {
			return t, nil, &BadTargetError{Target: t, Err: err}
		}
		if known && resolved.Kind != history.Custom {
			return resolved, nil, nil
		}
		if known {
			sought = resolved
		}
		keys = r.Targets()
	}
	match, err := matcher(sought)
	if err != nil {
		return t, nil, err
	}
	if match == nil {
		for _, key := range []string{"name", "xid"} {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		return t, nil, &UnknownTargetError{Target: t, Engine: e.Kind(), Keys: keys}
	}
	return findMarks(ctx, o, spool, t, match)
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
	s := fmt.Sprintf("recover %s to %s: no commit in the log is known by it", e.Source, e.Target)
	if e.Target.Key == "xid" {
		s += ": the transaction was rolled back, has not ended, or is not of this log"
	}
	return s
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

// matchesAtOnce and matchesWithin bound the search for further commits that a target can mean. It goes on while
// somebody waits for a restore, and each segment costs a few requests.
const (
	matchesAtOnce = 8
	matchesWithin = 256
)

// findMarks goes through the log from its end, and on from what it found for what else goes by it.
func findMarks(ctx context.Context, o Origin, spool engine.Log, t history.Target, match func(history.Mark) bool) (history.Target, []history.Mark, error) {
	segments := slices.Clone(o.History.Segments)
	slices.SortStableFunc(segments, func(a, b history.Segment) int { return b.To.Compare(a.To) })
	log := joinLogs(segments, o.OpenLog, spool)
	for i := range segments {
		before, found, err := scan(ctx, log, i, match)
		if err != nil {
			return t, nil, fmt.Errorf("resolve target %s: %w", t, err)
		}
		if len(found) == 0 {
			continue
		}
		slices.Reverse(found)
		at := found[0].Position
		if t.Before {
			at = newestBase(o.History.Bases, before, at)
		}
		return history.Target{Kind: history.AtPosition, Position: at}, append(found, olderMarks(ctx, log, i+1, match)...), nil
	}
	return t, nil, &NoCommitError{Source: o.History.Source, Target: t}
}

// olderMarks are the matches from segment first on, newest first. A segment that cannot be read is passed over: what
// was found already does not need it.
func olderMarks(ctx context.Context, log engine.Log, first int, match func(history.Mark) bool) []history.Mark {
	found := make([][]history.Mark, min(len(log.Segments())-first, matchesWithin))
	var g errgroup.Group
	g.SetLimit(matchesAtOnce)
	for i := range found {
		g.Go(func() error {
			_, all, err := scan(ctx, log, first+i, match)
			if err == nil {
				slices.Reverse(all)
				found[i] = all
			}
			return nil
		})
	}
	_ = g.Wait() // none fails
	return slices.Concat(found...)
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

// scan gives the commits in one segment that match, oldest first, and the position before the last of them.
func scan(ctx context.Context, log engine.Log, i int, match func(history.Mark) bool) (before history.Position, found []history.Mark, err error) {
	s, err := log.Open(ctx, i)
	if err != nil {
		return before, nil, fmt.Errorf("open segment %s: %w", log.Segments()[i].Name, err)
	}
	defer s.Close()
	last := log.Segments()[i].From
	for m, err := range s.Marks(ctx) {
		if err != nil {
			return before, nil, fmt.Errorf("read segment %s: %w", log.Segments()[i].Name, err)
		}
		if match(m) {
			before, found = last, append(found, m)
		}
		last = m.Position
	}
	return before, found, nil
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
