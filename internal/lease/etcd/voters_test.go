package etcd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestVotersAreLost waits several times for the 5 s after which etcd trusts connections.
func TestVotersAreLost(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	h := newHosts(t, "ha1", "ha2", "ha3")
	h.all()
	if t.Run("replace", h.replace) {
		t.Run("recover", h.recover)
	}
}

// replace puts ha4 in the place of one that is lost.
func (h *hosts) replace(t *testing.T) {
	lost := h.voters[0]
	h.kill(lost.Name)
	ctx, stop := context.WithTimeout(t.Context(), 15*time.Second)
	defer stop()
	h.leader()
	s, by := h.open("ha2"), h.voter("ha4")
	join := func() { h.join(ctx, by) }
	h.turnOver(ctx, s, Turnover{In: []Voter{by}, Out: []string{lost.Name}}, join)
	h.turnOver(ctx, s, Turnover{In: []Voter{by}, Out: []string{lost.Name}}, nil)
	h.voters = append(slices.Clone(h.voters[1:]), by)
	seats, err := s.Seats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	leaders := 0
	for _, seat := range seats {
		if !seat.Answers || seat.Learner || seat.Broken != "" || seat.Name == lost.Name || seat.Size == 0 {
			t.Errorf("seat %+v", seat)
		}
		leaders += flag(seat.Leads)
	}
	if len(seats) != 3 || leaders != 1 {
		t.Errorf("%d seats, %d leaders", len(seats), leaders)
	}
	if err := s.Promote(ctx, "nobody"); !errors.Is(err, errNoSeat) {
		t.Errorf("promoted nobody: %v", err)
	}
}

// recover goes on with one of three, the others being lost for good, and lets another one join.
func (h *hosts) recover(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	e, err := h.open("ha2").Swap(ctx, "kept", 0, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range h.voters {
		h.kill(v.Name)
	}
	h.voters = h.voters[:1] // ha2
	alone, end := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer end()
	if err := h.start(alone, ServerConfig{Name: "ha2", Voters: h.voters}); err == nil {
		t.Fatal("one of three was ready")
	}
	if err := h.start(ctx, ServerConfig{Name: "ha2", Voters: h.voters, Recover: true}); err != nil {
		t.Fatal(err)
	}
	s := h.open("ha2")
	if got, err := s.Get(ctx, "kept"); err != nil || string(got.Value) != "v" {
		t.Errorf("kept %q, %v", got.Value, err)
	}
	if next, err := s.Swap(ctx, "kept", e.Revision, []byte("w")); err != nil || next.Revision <= e.Revision {
		t.Errorf("swap after: %+v, %v", next, err)
	}
	ha5, ha6 := h.voter("ha5"), h.voter("ha6")
	if _, err := (Turnover{In: []Voter{ha5}}).Steps(h.seats(ctx, s)); err == nil {
		t.Error("two voters were not refused")
	}
	h.turnOver(ctx, s, Turnover{In: []Voter{ha5, ha6}}, func() { h.join(ctx, ha5, ha6) })
	if got := h.seats(ctx, s); len(got) != 3 {
		t.Errorf("seats %+v", got)
	}
}

func (h *hosts) seats(ctx context.Context, s *Store) []Seat {
	h.t.Helper()
	all, err := s.Seats(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// turnOver carries a turnover out, while meanwhile starts those that come. Nil: there must be nothing to do.
func (h *hosts) turnOver(ctx context.Context, s *Store, turn Turnover, meanwhile func()) {
	h.t.Helper()
	steps, err := turn.Steps(h.seats(ctx, s))
	if err != nil || (len(steps) > 0) != (meanwhile != nil) {
		h.t.Fatalf("steps %v, %v", steps, err)
	}
	var wait sync.WaitGroup
	if meanwhile != nil {
		wait.Go(meanwhile)
	}
	for _, step := range steps {
		if err := s.Carry(ctx, step, nil); err != nil {
			h.t.Errorf("%s: %v", step, err)
		}
	}
	wait.Wait()
}

// join starts voters as their hosts do: each waits until it was added.
func (h *hosts) join(ctx context.Context, all ...Voter) {
	for _, v := range all {
		for ctx.Err() == nil {
			join, others, err := Place(ctx, Config{EndPoints: h.ends(""), TLS: h.files(v.Name)}, v)
			if err == nil && join {
				if err := h.start(ctx, ServerConfig{Name: v.Name, Voters: others, Join: true}); err != nil {
					h.t.Error(err)
				}
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// TestAVoterThatCannotBeIsAnError, and ends nothing else of the process.
func TestAVoterThatCannotBeIsAnError(t *testing.T) {
	h := newHosts(t, "ha1")
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	if err := h.start(ctx, ServerConfig{Name: "ha2", Voters: h.voters, Dir: filepath.Join(h.dir, "x")}); err == nil {
		t.Error("a stranger started")
	}
	l, err := net.Listen("tcp", h.voters[0].Peer[len("https://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := h.start(ctx, ServerConfig{Name: "ha1", Voters: h.voters}); err == nil {
		t.Error("it started on a port that is taken")
	}
}

// TestABrokenFolderEndsTheVoterOnly: etcd would end the process.
func TestABrokenFolderEndsTheVoterOnly(t *testing.T) {
	t.Parallel()
	h := newHosts(t, "ha1")
	h.all()
	s := h.running["ha1"]
	delete(h.running, "ha1")
	s.Close()
	logs, err := filepath.Glob(filepath.Join(h.dir, "ha1", "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	slices.Sort(logs)
	f, err := os.OpenFile(logs[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, 256), 64); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	if err := h.start(ctx, ServerConfig{Name: "ha1", Voters: h.voters}); err == nil || ctx.Err() != nil {
		t.Errorf("a voter with a broken log: %v", err)
	} else {
		t.Log(err)
	}
}

func TestWhatEndsEtcdIsTold(t *testing.T) {
	var out bytes.Buffer
	died := make(chan error, 1)
	l := logger(slog.New(slog.NewTextHandler(&out, nil)), func(err error) { died <- err })
	ended := make(chan bool)
	go func() {
		defer close(ended)
		l.Fatal("failed to save Raft entries", zap.Error(errors.New("no space left on device")))
	}()
	<-ended
	if err := <-died; err == nil || err.Error() != "failed to save Raft entries: no space left on device" {
		t.Errorf("told %v", err)
	}
	for range 5 {
		l.Error("a peer is down", zap.String("peer", "ha2"))
		l.Warn("slow")
	}
	if text := out.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "a peer is down") != 1 || !strings.Contains(text, "peer=ha2") || strings.Contains(text, "slow") {
		t.Errorf("the log says\n%s", text)
	}
}
