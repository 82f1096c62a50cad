package ping_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/notify/notifytest"
	"github.com/backstaydb/backstay/internal/notify/ping"
)

// until waits for what is so within five seconds.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 5s: %s", what)
		}
	}
}

func TestCallsOnlyWhileAllIsWell(t *testing.T) {
	far := notifytest.NewFar()
	defer far.Close()
	var ill atomic.Bool
	p, err := ping.New(ping.Config{Address: far.URL + "/PLANTED", Every: 20 * time.Millisecond, Method: "POST", Well: func() error {
		if ill.Load() {
			return errors.New("no receiver takes messages")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	until(t, "calls", func() bool { return len(far.Taken()) > 3 })
	ill.Store(true)
	until(t, "no calls", func() bool { return p.Status().Unwell })
	calls := len(far.Taken())
	time.Sleep(200 * time.Millisecond)
	if n := len(far.Taken()); n != calls {
		t.Errorf("%d calls while not all is well", n-calls)
	}
	if s := p.Status(); s.Reason != "no receiver takes messages" || s.Failing.IsZero() {
		t.Errorf("status %+v", s)
	}
	ill.Store(false)
	far.Set(notifytest.Refuses)
	until(t, "a failure", func() bool { s := p.Status(); return !s.Unwell && !s.Failing.IsZero() })
	if s := p.Status(); strings.Contains(s.Reason, "PLANTED") || !strings.Contains(s.Reason, "401") {
		t.Errorf("reason %q", s.Reason)
	}
	far.Set(notifytest.Takes)
	until(t, "calls again", func() bool { return p.Status().Failing.IsZero() && len(far.Taken()) > calls })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBadConfigs(t *testing.T) {
	well := func() error { return nil }
	for _, c := range []ping.Config{{Address: "PLANTED", Well: well}, {Address: "http://PLANTED", Method: "PUT", Well: well}, {Address: "http://PLANTED"}} {
		if _, err := ping.New(c); err == nil || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
