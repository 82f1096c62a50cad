package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	all, err := s.Replace(ctx, lost.Name, by)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Add(ctx, by); err != nil || fmt.Sprint(again) != fmt.Sprint(all) {
		t.Errorf("added twice: %v, %v", again, err)
	}
	if err := h.start(ctx, ServerConfig{Name: "ha4", Voters: all, Join: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Promote(ctx, "ha4"); err != nil {
		t.Fatal(err)
	}
	if err := s.Promote(ctx, "ha4"); err != nil {
		t.Errorf("promoted twice: %v", err)
	}
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
	if err := s.Remove(ctx, "nobody"); err != nil {
		t.Errorf("removed nobody: %v", err)
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
	by := h.voter("ha5")
	all, err := s.Add(ctx, by)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.start(ctx, ServerConfig{Name: "ha5", Voters: all, Join: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Promote(ctx, "ha5"); err != nil {
		t.Fatal(err)
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
