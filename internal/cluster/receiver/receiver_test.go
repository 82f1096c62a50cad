package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease/mem"
	"github.com/backstaydb/backstay/internal/peer"
)

// stream is one of words.
type stream struct {
	s    Sight
	done []string
	path string // of the oath: what was promised at each step
	fail error
}

func (s *stream) note(what string) {
	b, _ := os.ReadFile(s.path)
	s.done = append(s.done, what+" "+strings.TrimSpace(string(b)))
}

func (s *stream) Attach(_ context.Context, member string) error {
	s.note("attach " + member)
	s.s.From = member
	return s.fail
}

func (s *stream) Detach(context.Context) error {
	s.note("detach")
	if s.fail == nil {
		s.s.From = ""
	}
	return s.fail
}

func (s *stream) Look() Sight { return s.s }

func open(t *testing.T, dir string) (*Receiver, *stream) {
	t.Helper()
	s := &stream{s: Sight{SystemID: "7", Received: history.At(3, 500), From: "db9", Heard: time.Second}, path: filepath.Join(dir, "oath.json")}
	store := mem.New()
	state, err := json.Marshal(cluster.State{Epoch: 5})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Swap(t.Context(), "cluster-shop", 0, state); err != nil {
		t.Fatal(err)
	}
	r, err := New(t.Context(), Config{Member: "vault", Dir: dir, Stream: s, Store: store, Key: "cluster-shop"})
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func act(t *testing.T, r *Receiver, verb cluster.Verb, epoch uint64, from string) error {
	t.Helper()
	return r.Act(t.Context(), cluster.Action{Verb: verb, Epoch: epoch, Member: "vault", From: from})
}

func fact(t *testing.T, r *Receiver) cluster.Fact {
	t.Helper()
	report, err := r.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report.Fact
}

func TestAPromiseIsMadeWhenTheStreamHasEnded(t *testing.T) {
	dir := t.TempDir()
	r, s := open(t, dir)
	if f := fact(t, r); f.Promised != 0 || f.Following != "" || f.Blank || f.Role != cluster.Standby || f.Received != history.At(3, 500) {
		t.Errorf("after a start %+v", f)
	}
	if err := act(t, r, cluster.Follow, 4, "db1"); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("below the state's epoch, with no oath: %v", err)
	}
	for _, step := range []error{act(t, r, cluster.Follow, 7, "db1"), act(t, r, cluster.Follow, 7, "db1"), act(t, r, cluster.Fence, 8, ""), act(t, r, cluster.Fence, 8, "")} {
		if step != nil {
			t.Fatal(step)
		}
	}
	want := []string{"detach ", "detach ", `attach db1 {"promised":7}`, `detach {"promised":7}`}
	if !slices.Equal(s.done, want) {
		t.Errorf("steps %q, want %q", s.done, want)
	}
	if f := fact(t, r); f.Promised != 8 || f.Following != "" {
		t.Errorf("fenced %+v", f)
	}
	for _, verb := range []cluster.Verb{cluster.Follow, cluster.Fence} {
		if err := act(t, r, verb, 7, "db1"); !errors.Is(err, peer.ErrRefused) {
			t.Errorf("%s of a lower epoch: %v", verb, err)
		}
	}
	again, s := open(t, dir)
	if f := fact(t, again); f.Promised != 8 || f.Following != "" || len(s.done) != 1 {
		t.Errorf("after a start %+v, %q", f, s.done)
	}
	if err := act(t, again, cluster.Promote, 8, ""); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("promoted: %v", err)
	}
	if err := again.Act(t.Context(), cluster.Action{Verb: cluster.Fence, Epoch: 9, Member: "db1"}); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("another one's: %v", err)
	}
}

// TestAStreamThatCanNotBeEndedIsNoPromise, nor is one that can't be written.
func TestAStreamThatCanNotBeEndedIsNoPromise(t *testing.T) {
	dir := t.TempDir()
	r, s := open(t, dir)
	if err := act(t, r, cluster.Follow, 7, "db1"); err != nil {
		t.Fatal(err)
	}
	s.fail = errors.New("it hangs")
	for _, verb := range []cluster.Verb{cluster.Fence, cluster.Follow} {
		if err := act(t, r, verb, 8, "db2"); err == nil || fact(t, r).Promised != 7 {
			t.Errorf("%s: %v, promised %d", verb, err, fact(t, r).Promised)
		}
	}
	s.fail = nil
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := act(t, r, cluster.Fence, 8, ""); err == nil || fact(t, r).Promised != 7 {
		t.Errorf("without a disk: %v, promised %d", err, fact(t, r).Promised)
	}
}

func TestWhatIsNotWholeIsBlank(t *testing.T) {
	r, s := open(t, t.TempDir())
	s.s.Received = history.Position{}
	if !fact(t, r).Blank {
		t.Error("without log it counts")
	}
	s.s.Received, s.s.Parted = history.At(3, 5), true
	if !fact(t, r).Blank {
		t.Error("with another log it counts")
	}
}
