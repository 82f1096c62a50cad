package enginetest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// ValuesFile is the one file of a restored Values source.
const ValuesFile = "values"

// Values is the smallest engine that can be restored, launched and asked: its data is a text file with one line for
// each commit, its log are the lines to come. It is for the tests of those who recover, whatever the engine.
type Values struct {
	Fault func(step string) error // called at "replay", "launch", "verify"; an error makes the step fail; may be nil
	Stray int                     // Replay stops this many commits early, as a broken engine would, and owns up to it
}

// ValueCommit is one line: "1/42 1795258800000000000 forty-two".
type ValueCommit struct {
	Position history.Position
	Time     time.Time
	Value    string
}

func (c ValueCommit) String() string {
	return fmt.Sprintf("%d/%d %d %s\n", c.Position.Timeline, c.Position.Seq, c.Time.UnixNano(), c.Value)
}

func parseValueCommits(r io.Reader) (all []ValueCommit, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.SplitN(lines.Text(), " ", 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("read values: %q is no commit", lines.Text())
		}
		p, err := history.ParsePosition(f[0])
		if err != nil {
			return nil, fmt.Errorf("read values: %w", err)
		}
		nanos, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read values: %w", err)
		}
		all = append(all, ValueCommit{Position: p, Time: time.Unix(0, nanos).UTC(), Value: f[2]})
	}
	return all, lines.Err()
}

// Kind is "values".
func (Values) Kind() string { return "values" }

func (v Values) fault(step string) error {
	if v.Fault == nil {
		return nil
	}
	return v.Fault(step)
}

// Replay appends commits to the file up to the goal.
func (v Values) Replay(ctx context.Context, dir string, log engine.Log, to engine.Goal) (engine.Reached, error) {
	path := filepath.Join(dir, ValuesFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return engine.Reached{}, fmt.Errorf("read base: %w", err)
	}
	commits, err := parseValueCommits(bytes.NewReader(data))
	if err != nil {
		return engine.Reached{}, err
	}
	laid := len(commits)
	for i := range log.Segments() {
		if commits, err = v.segment(ctx, log, i, commits, to); err != nil {
			return engine.Reached{}, err
		}
	}
	if err := v.fault("replay"); err != nil {
		return engine.Reached{}, err
	}
	commits = commits[:max(laid, len(commits)-v.Stray)]
	var b bytes.Buffer
	for _, c := range commits {
		b.WriteString(c.String())
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return engine.Reached{}, err
	}
	r := engine.Reached{Digest: fmt.Sprintf("%x", sha256.Sum256(b.Bytes())), Files: []string{ValuesFile}}
	if n := len(commits); n > 0 {
		r.Position, r.Time = commits[n-1].Position, commits[n-1].Time
	}
	return r, nil
}

// segment applies what of one segment lies between the data and the goal.
func (v Values) segment(ctx context.Context, log engine.Log, i int, commits []ValueCommit, to engine.Goal) ([]ValueCommit, error) {
	s, err := log.Open(ctx, i)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for _, e := range s.Entries() {
		r, err := s.Read(ctx, e)
		if err != nil {
			return nil, err
		}
		more, err := parseValueCommits(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		for _, c := range more {
			next := uint64(1)
			if n := len(commits); n > 0 {
				next = commits[n-1].Position.Seq + 1
			}
			if c.Position.Seq < next || beyondGoal(c, to) {
				continue
			}
			if c.Position.Seq != next {
				return nil, fmt.Errorf("replay values: %s follows sequence %d", c.Position, next-1)
			}
			commits = append(commits, c)
		}
	}
	return commits, nil
}

func beyondGoal(c ValueCommit, to engine.Goal) bool {
	if !to.Position.IsZero() {
		return c.Position.Seq > to.Position.Seq
	}
	return !to.Time.IsZero() && c.Time.After(to.Time)
}

// Resolve knows seq:N and before-seq:N.
func (Values) Resolve(t history.Target) (history.Target, bool, error) {
	if t.Key != "seq" {
		return t, false, nil
	}
	n, err := strconv.ParseUint(t.Value, 10, 64)
	if err != nil || n == 0 {
		return t, true, fmt.Errorf("read sequence %q", t.Value)
	}
	if t.Before {
		n--
	}
	return history.Target{Kind: history.AtPosition, Position: history.At(0, n)}, true, nil
}

// Targets lists the keys.
func (Values) Targets() []string { return []string{"seq", "before-seq"} }

// Launch opens the file.
func (v Values) Launch(_ context.Context, dir string, r engine.Reached) (engine.Server, error) {
	if err := v.fault("launch"); err != nil {
		return nil, err
	}
	return &valueServer{v, filepath.Join(dir, ValuesFile), r}, nil
}

type valueServer struct {
	engine  Values
	path    string
	reached engine.Reached
}

func (s *valueServer) DSN() string { return "values:" + s.path }

func (s *valueServer) Stop(context.Context) error { return nil }

func (s *valueServer) Verify(context.Context) ([]engine.Check, error) {
	if err := s.engine.fault("verify"); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return nil, err
	}
	order := engine.Check{Name: "order", OK: true, Detail: "every sequence follows the one before it"}
	commits, err := parseValueCommits(bytes.NewReader(data))
	for i, c := range commits {
		if i > 0 && c.Position.Seq != commits[i-1].Position.Seq+1 {
			err = fmt.Errorf("%s follows %s", c.Position, commits[i-1].Position)
		}
	}
	if err != nil {
		order.OK, order.Detail = false, err.Error()
	}
	digest := engine.Check{Name: "digest", OK: fmt.Sprintf("%x", sha256.Sum256(data)) == s.reached.Digest, Detail: "SHA-256 of the file"}
	return []engine.Check{order, digest}, nil
}

// ValueSegment is one segment of a Values log held in memory.
type ValueSegment struct {
	history.Segment
	Commits []ValueCommit
	Data    []byte // of its one log file; change it to damage it
	Err     error  // instead of being opened; may be nil
	Tail    error  // after the data, instead of the end; may be nil
}

// NewValueSegment makes the segment that holds commits, which follow from.
func NewValueSegment(name string, from history.Position, since time.Time, commits []ValueCommit) *ValueSegment {
	last := commits[len(commits)-1]
	s := &ValueSegment{Commits: commits, Segment: history.Segment{
		Name: name, From: from, To: last.Position, Since: since, Until: last.Time, Commits: int64(len(commits)),
	}}
	for _, c := range commits {
		s.Data = append(s.Data, c.String()...)
	}
	s.Segment.Bytes, s.Segment.StoredBytes = int64(len(s.Data)), int64(len(s.Data))
	return s
}

// ValueLog is a log of such segments.
type ValueLog []*ValueSegment

// Segments implements engine.Log.
func (l ValueLog) Segments() (all []history.Segment) {
	for _, s := range l {
		all = append(all, s.Segment)
	}
	return all
}

// Open implements engine.Log.
func (l ValueLog) Open(_ context.Context, i int) (engine.LogSegment, error) {
	if l[i].Err != nil {
		return nil, l[i].Err
	}
	return valueLogSegment{l[i]}, nil
}

type valueLogSegment struct{ *ValueSegment }

func (s valueLogSegment) Entries() []engine.LogEntry {
	return []engine.LogEntry{{File: s.Name, Size: int64(len(s.Data))}}
}

func (s valueLogSegment) Read(context.Context, engine.LogEntry) (io.ReadCloser, error) {
	r := io.Reader(bytes.NewReader(s.Data))
	if s.Tail != nil {
		r = io.MultiReader(r, failing{s.Tail})
	}
	return io.NopCloser(r), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (s valueLogSegment) Marks(context.Context) iter.Seq2[history.Mark, error] {
	return func(yield func(history.Mark, error) bool) {
		for _, c := range s.ValueSegment.Commits {
			if !yield(history.Mark{Position: c.Position, Time: c.Time, XID: 1000 + c.Position.Seq, Name: markName(c.Value)}, nil) {
				return
			}
		}
	}
}

func (s valueLogSegment) Close() error { return nil }

// markName makes commits with a value such as "name=release" named points.
func markName(value string) string {
	name, ok := strings.CutPrefix(value, "name=")
	if !ok {
		return ""
	}
	return name
}

var _ interface {
	engine.Restorer
	engine.Resolver
	engine.Launcher
} = Values{}
