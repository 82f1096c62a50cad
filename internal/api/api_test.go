package api

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a daemon with one source.
type shop struct {
	ended  chan struct{}
	paused Pause
}

func (s *shop) Status(context.Context) (Status, error) {
	return Status{Running: true, PID: 7, Sources: []Source{{Name: "app"}}}, nil
}

func (s *shop) Backup(ctx context.Context, source string, progress func(Progress)) (Base, error) {
	switch source {
	case "app":
		progress(Progress{Phase: "copy", Done: 1, Total: 2})
		progress(Progress{Phase: "copy", Done: 2, Total: 2})
		return Base{ID: "b1", Source: source}, nil
	case "slow":
		progress(Progress{Phase: "copy"})
		<-ctx.Done()
		close(s.ended)
		return Base{}, ctx.Err()
	}
	return Base{}, hinted{errors.New("no such source")}
}

func (s *shop) Plan(context.Context) ([]Job, error) {
	return []Job{{Source: "app", Kind: "drill", Reason: "daily drill is due at 02:00"}}, nil
}

func (s *shop) Pause(_ context.Context, source string, p Pause) error {
	if source != "app" {
		return hinted{errors.New("no such source")}
	}
	s.paused = p
	return nil
}

func (s *shop) Resume(context.Context, string, Pause) error { s.paused = Pause{}; return nil }

func (s *shop) RunNow(_ context.Context, source string, p Pause) (string, error) {
	return p.Kind + " of " + source + " begins", nil
}

func (s *shop) Order(_ context.Context, cluster string, o ClusterOrder) (ClusterOutcome, error) {
	if cluster != "shop" {
		return ClusterOutcome{}, hinted{errors.New("no such cluster")}
	}
	return ClusterOutcome{Cluster: cluster, Done: !o.DryRun, Primary: o.To}, nil
}

func (s *shop) Recover(_ context.Context, o VoterRecovery) (VoterRecovered, error) {
	return VoterRecovered{Done: !o.DryRun}, nil
}

type hinted struct{ error }

func (hinted) Hint() string { return "try app" }

func serve(t *testing.T, dir string, s *shop) *Client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, dir, s, func(error) int { return 4 }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
		if _, err := os.Stat(address(dir)); err == nil {
			t.Error("the socket stays")
		}
	})
	c := Dial(dir)
	for range 100 {
		if _, err := c.Status(t.Context()); err == nil {
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the daemon does not answer")
	return nil
}

func TestCommandsReachTheDaemon(t *testing.T) {
	for name, dir := range map[string]string{"short": "s", "long": strings.Repeat("long-folder/", 12) + "s"} {
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), dir)
			if err := os.MkdirAll(state, 0o700); err != nil {
				t.Fatal(err)
			}
			c := serve(t, state, &shop{})
			s, err := c.Status(t.Context())
			if err != nil || s.PID != 7 || s.Sources[0].Name != "app" {
				t.Errorf("status %+v, %v", s, err)
			}
			var seen []Progress
			b, err := c.Backup(t.Context(), "app", func(p Progress) { seen = append(seen, p) })
			if err != nil || b.ID != "b1" || len(seen) != 2 || seen[1].Done != 2 {
				t.Errorf("backup %+v, %v, progress %v", b, err, seen)
			}
			info, err := os.Stat(address(state))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("socket %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestErrorsKeepHintAndExitCode(t *testing.T) {
	c := serve(t, t.TempDir(), &shop{})
	_, err := c.Backup(t.Context(), "crm", nil)
	var e *Error
	if !errors.As(err, &e) || e.Error() != "no such source" || e.Hint() != "try app" || e.ExitCode() != 4 {
		t.Errorf("error %#v", err)
	}
}

func TestACommandThatEndsEndsItsBackup(t *testing.T) {
	s := &shop{ended: make(chan struct{})}
	c := serve(t, t.TempDir(), s)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Backup(ctx, "slow", func(Progress) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-s.ended
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	if _, err := Dial(dir).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, socketName))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(dir).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("socket of a dead daemon: %v", err)
	}
	c := serve(t, dir, &shop{})
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestJobsAreAskedFor(t *testing.T) {
	s := &shop{}
	c := serve(t, t.TempDir(), s)
	jobs, err := c.Plan(t.Context())
	if err != nil || len(jobs) != 1 || jobs[0].Kind != "drill" {
		t.Errorf("plan %+v, %v", jobs, err)
	}
	p := Pause{Kind: "drill", By: "anna", Reason: "moving disks", Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}
	if err := c.Pause(t.Context(), "app", p); err != nil || s.paused != p {
		t.Errorf("pause: %v, %+v", err, s.paused)
	}
	var e *Error
	if err := c.Pause(t.Context(), "crm", p); !errors.As(err, &e) || e.Hint() != "try app" {
		t.Errorf("pause of another: %v", err)
	}
	if err := c.Resume(t.Context(), "app", Pause{By: "anna"}); err != nil || s.paused != (Pause{}) {
		t.Errorf("resume: %v, %+v", err, s.paused)
	}
	if text, err := c.RunNow(t.Context(), "app", Pause{Kind: "drill"}); err != nil || text != "drill of app begins" {
		t.Errorf("run: %q, %v", text, err)
	}
}

func TestOrdersReachClusters(t *testing.T) {
	c := serve(t, t.TempDir(), &shop{})
	out, err := c.Order(t.Context(), "shop", ClusterOrder{Verb: "switchover", To: "db2", By: "anna"})
	if err != nil || !out.Done || out.Primary != "db2" {
		t.Errorf("order: %+v, %v", out, err)
	}
	var e *Error
	if out, err := c.Recover(t.Context(), VoterRecovery{By: "anna"}); err != nil || !out.Done {
		t.Errorf("recover: %+v, %v", out, err)
	}
	if _, err := c.Order(t.Context(), "crm", ClusterOrder{}); !errors.As(err, &e) || e.Hint() != "try app" {
		t.Errorf("order to another: %v", err)
	}
}
