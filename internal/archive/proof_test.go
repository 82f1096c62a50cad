package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
)

// proof is what a repository can bring back.
type proof struct {
	windows []history.Window
	history history.History
	proved  map[int]bool // every commit number that was brought back and compared
}

// prove restores every position of every window of repository i and compares it with the world.
func (h *house) prove(i int) proof {
	h.t.Helper()
	p, err := h.tryProve(i)
	if err != nil {
		h.t.Fatalf("repository %d: %v", i, err)
	}
	return p
}

func (h *house) tryProve(i int) (proof, error) {
	ctx := context.Background()
	p := proof{proved: map[int]bool{}}
	r, err := repository.Open(ctx, h.stores[i], repository.Options{Source: "app", Identities: []age.Identity{h.reader}})
	if err != nil {
		return p, err
	}
	facts, err := r.Facts(ctx)
	if err != nil {
		return p, err
	}
	p.history, p.windows = facts.History, facts.History.Windows()
	for _, w := range p.windows {
		ends := []history.Position{w.End}
		for _, b := range facts.History.Bases { // what lies before a base is brought back from an earlier one
			if b.Stop.Timeline == w.End.Timeline && w.Start.Before(b.Stop) && b.Stop.Before(w.End) {
				ends = append(ends, history.At(b.Stop.Timeline, b.Stop.Seq-1))
			}
		}
		for _, end := range ends {
			if err := h.proveUpTo(ctx, r, facts.History, end, p.proved); err != nil {
				return p, fmt.Errorf("window %s to %s, up to %s: %w", w.Start, w.End, end, err)
			}
		}
	}
	check, err := r.Check(ctx, repository.CheckOptions{Deep: true})
	if err != nil {
		return p, err
	}
	if len(check.Damage) > 0 {
		return p, fmt.Errorf("check found %v", check.Damage)
	}
	return p, nil
}

func (h *house) proveUpTo(ctx context.Context, r *repository.Repository, all history.History, end history.Position, proved map[int]bool) error {
	chain, err := all.Chain(history.Target{Kind: history.AtPosition, Position: end})
	if err != nil {
		return err
	}
	state, err := layBase(ctx, r, chain.Base.ID)
	if err != nil {
		return err
	}
	if want := h.w.state(int(chain.Base.Start.Seq)); state != want {
		return fmt.Errorf("base at %s holds %d bytes, not %d", chain.Base.Start, len(state), len(want))
	}
	at := int(chain.Base.Start.Seq)
	if at == int(chain.Base.Stop.Seq) {
		proved[at] = true
	}
	log, told := r.OpenLog(chain.Segments), map[string]bool{}
	for i, seg := range chain.Segments {
		s, err := log.Open(ctx, i)
		if err != nil {
			return err
		}
		for _, e := range s.Entries() {
			told[e.File] = true
		}
		at, err = h.replay(ctx, s, seg, at, int(chain.Base.Stop.Seq), proved)
		if err = errors.Join(err, s.Close()); err != nil {
			return fmt.Errorf("segment %s: %w", seg.Name, err)
		}
	}
	if at < int(end.Seq) {
		return fmt.Errorf("the log ends at %d", at)
	}
	for _, fork := range chain.Forks {
		if name := historyName(fork.Child); !told[name] && fork.At.Seq < end.Seq {
			return fmt.Errorf("the log lacks %s", name)
		}
	}
	return nil
}

func layBase(ctx context.Context, r *repository.Repository, id string) (string, error) {
	b, err := r.OpenBase(ctx, id)
	if err != nil {
		return "", err
	}
	defer b.Close()
	dir, err := os.MkdirTemp("", "base")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if _, err := b.Extract(ctx, dir, repository.ExtractOptions{}); err != nil {
		return "", err
	}
	state, err := os.ReadFile(filepath.Join(dir, "lines"))
	return string(state), err
}

// replay applies the log files of a segment behind at. Each is one commit, so each position is compared.
func (h *house) replay(ctx context.Context, s engine.LogSegment, seg history.Segment, at, stop int, proved map[int]bool) (int, error) {
	var condensed, all strings.Builder
	line := "" // of the commit that is being read
	for _, e := range s.Entries() {
		r, err := s.Read(ctx, e)
		if err != nil {
			return at, err
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return at, err
		}
		if e.Condensed {
			condensed.Write(b)
			continue
		}
		all.Write(b)
		if strings.HasSuffix(e.File, ".history") {
			continue
		}
		var n int
		if _, err := fmt.Sscanf(e.File, "%08d.line", &n); err != nil {
			return at, err
		}
		if n <= at {
			continue
		}
		h.w.mu.Lock()
		want := h.w.lines[n-1]
		h.w.mu.Unlock()
		if e.Offset == 0 {
			line = ""
		}
		if n != at+1 || e.Offset != int64(len(line)) || !strings.HasPrefix(want, line+string(b)) {
			return at, fmt.Errorf("commit %d follows %d", n, at)
		}
		if line += string(b); line != want {
			continue // a part
		}
		at = n
		if at >= stop {
			proved[at] = true
		}
	}
	if condensed.Len() > 0 && condensed.String() != all.String() {
		return at, errors.New("the condensed file is not what the others are together")
	}
	commits := int64(0)
	for m, err := range s.Marks(ctx) {
		if err != nil {
			return at, err
		}
		commits++
		if want := h.w.times[m.Position.Seq-1]; m.Time.Sub(want).Abs() > time.Microsecond {
			return at, fmt.Errorf("mark %s at %s, committed %s", m.Position, m.Time, want)
		}
		if m.Time.After(seg.Until) || !m.Time.After(seg.Since) && !m.Time.Equal(seg.Since) {
			return at, fmt.Errorf("mark %s at %s lies outside of %s to %s", m.Position, m.Time, seg.Since, seg.Until)
		}
	}
	if commits != seg.Commits || commits != int64(seg.To.Seq-seg.From.Seq) {
		return at, fmt.Errorf("%d marks, %d commits from %s to %s", commits, seg.Commits, seg.From, seg.To)
	}
	return at, nil
}

// all fails unless every commit from the first base on was proved, but for those left out on purpose.
func (p proof) all(t *testing.T, to int, except func(n int) bool) {
	t.Helper()
	if len(p.history.Bases) == 0 {
		t.Fatal("there is no base")
	}
	from := to
	for _, b := range p.history.Bases {
		from = min(from, int(b.Stop.Seq))
	}
	var missing []int
	for n := from; n <= to; n++ {
		if !p.proved[n] && (except == nil || !except(n)) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		t.Fatalf("%d commits cannot be brought back: %v…; %+v", len(missing), missing[:min(5, len(missing))], p.history)
	}
}
