package etcd

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/lease/leasetest"
)

// TestThreeVoters is one test, since each set of voters takes a second to come up.
func TestThreeVoters(t *testing.T) {
	t.Parallel()
	h := newHosts(t, "ha1", "ha2", "ha3")
	h.all()
	t.Run("suite", func(t *testing.T) {
		names := []string{"ha1", "ha2", "ha3"}
		next := 0
		err := leasetest.Check(t.Context(), func() (lease.Store, error) {
			next++
			name := names[next%3]
			return h.running[name].Open(Config{EndPoints: h.ends(name), TLS: h.files(name), Host: name, Prefix: "suite/", Try: 5 * time.Second})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("strangers", h.strangers)
	t.Run("avoid", h.avoid)
	t.Run("leader dies", h.leaderDies)
}

func (h *hosts) strangers(t *testing.T) {
	other := newHosts(t, "ha1")
	h.voter("proxies")
	for what, files := range map[string]Files{"another authority": other.files("ha1"), "a host that is not in the file any more": h.files("proxies")} {
		s, err := Open(Config{EndPoints: h.ends("ha1"), TLS: files})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer stop()
		if e, err := s.Get(ctx, "k"); err == nil {
			t.Errorf("with a certificate of %s: read %+v", what, e)
		}
	}
}

func (h *hosts) avoid(t *testing.T) {
	before := h.leader()
	if leads, err := h.open(before).Leads(t.Context()); err != nil || !leads {
		t.Errorf("%s leads: %v, %v", before, leads, err)
	}
	without, err := Open(Config{EndPoints: h.ends("ha1"), TLS: h.files("ha1"), Host: "ha9"})
	if err != nil {
		t.Fatal(err)
	}
	defer without.Close()
	if leads, err := without.Leads(t.Context()); err != nil || leads {
		t.Errorf("a host without a voter leads: %v, %v", leads, err)
	}
	if err := h.open(before).Avoid(t.Context(), "shop", before); err != nil {
		t.Fatal(err)
	}
	after := h.leader()
	if after == before {
		t.Errorf("%s leads still", before)
	}
	if leads, err := h.open(after).Leads(t.Context()); err != nil || !leads {
		t.Errorf("%s leads: %v, %v", after, leads, err)
	}
	s := h.open(after)
	for _, v := range append(slices.DeleteFunc(slices.Clone(h.voters), func(v Voter) bool { return v.Name == after }), Voter{Name: after}) {
		if err := s.Avoid(t.Context(), "of "+v.Name, v.Name); err != nil {
			t.Fatal(err)
		}
	}
	if h.leader() != after {
		t.Error("with no better place it moved")
	}
}

// leaderDies kills the voter that leads and measures how long nothing can be written, as another host sees it.
func (h *hosts) leaderDies(t *testing.T) {
	dead := h.leader()
	other := "ha1"
	if dead == other {
		other = "ha2"
	}
	s := h.open(other)
	e, err := s.Swap(t.Context(), "death", 0, []byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan lease.Entry, 10000)
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for watching.Err() == nil {
			_ = s.Watch(watching, "death", e.Revision, func(e lease.Entry) { seen <- e })
		}
	}()
	gone := make(chan struct{})
	go func() {
		h.kill(dead)
		close(gone)
	}()
	ctx, end := context.WithTimeout(t.Context(), 10*time.Second)
	defer end()
	next, longest := e, time.Duration(0)
	for begin, last := time.Now(), time.Now(); time.Since(begin) < 2*time.Second; time.Sleep(5 * time.Millisecond) {
		next, err = s.Swap(ctx, "death", next.Revision, []byte("after"))
		if errors.Is(err, errUnsure) {
			next, err = s.Get(ctx, "death")
		}
		if err != nil {
			t.Fatal(err)
		}
		longest, last = max(longest, time.Since(last)), time.Now()
	}
	<-gone
	t.Logf("death of the leader: for %s no swap succeeded", longest.Round(time.Millisecond))
	if longest > 1900*time.Millisecond {
		t.Errorf("it took %s", longest)
	}
	for late := time.After(5 * time.Second); ; {
		select {
		case got := <-seen:
			if got.Revision < next.Revision {
				continue
			}
		case <-late:
			t.Error("the watch did not see the last one")
		}
		break
	}
	// It comes back with its folder.
	ctx, end = context.WithTimeout(t.Context(), 10*time.Second)
	defer end()
	if err := h.start(ctx, ServerConfig{Name: dead, Voters: h.voters}); err != nil {
		t.Fatal(err)
	}
	if got, err := h.open(dead).Get(ctx, "death"); err != nil || string(got.Value) != "after" {
		t.Errorf("the returned one reads %q, %v", got.Value, err)
	}
}

// TestTheHintIsOneHosts, in an etcd that is nobody's voter, and moves when that host leaves it or is gone.
func TestTheHintIsOneHosts(t *testing.T) {
	t.Parallel()
	h := newHosts(t, "etcd")
	h.all()
	external := func(name string) *Store {
		s, err := Open(Config{EndPoints: h.ends("etcd"), TLS: h.files("etcd"), Host: name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	a, b := external("a"), external("b")
	ask := func(s *Store) bool {
		leads, err := s.Leads(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return leads
	}
	until := func(what string, want func() bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); !want(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("a never leads", func() bool { return ask(a) })
	for range 10 {
		if ask(b) && ask(a) {
			t.Error("both lead")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := a.Avoid(t.Context(), "shop", "a"); err != nil {
		t.Fatal(err)
	}
	until("b did not take what a left", func() bool { return ask(b) && !ask(a) })
	b.Close() // and is gone
	until("a did not take what stood still", func() bool { return ask(a) })
}

// TestAnEndPointThatNeverAnswersCostsOneTry: a host that is cut off takes connections' bytes for a long time.
func TestAnEndPointThatNeverAnswersCostsOneTry(t *testing.T) {
	t.Parallel()
	h := newHosts(t, "ha1")
	h.all()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	s, err := Open(Config{EndPoints: append([]EndPoint{{URL: "https://" + hole.Addr().String(), Name: "ha0"}}, h.ends("ha1")...), TLS: h.files("ha1"), Try: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begin := time.Now()
	e, err := s.Swap(t.Context(), "k", 0, []byte("v"))
	if took := time.Since(begin); err != nil || took > time.Second {
		t.Errorf("the first swap took %s, %v", took, err)
	}
	begin = time.Now()
	if e, err = s.Swap(t.Context(), "k", e.Revision, []byte("w")); err != nil || time.Since(begin) > 150*time.Millisecond {
		t.Errorf("the second one took %s, %v", time.Since(begin), err)
	}
	// What was not answered may have been carried out: a comparison that fails after it proves nothing.
	s.last.Store(0)
	if _, err := s.Swap(t.Context(), "k", 1, []byte("x")); err == nil || errors.Is(err, lease.ErrStale) {
		t.Errorf("after an unanswered try: %v", err)
	}
	if _, err := s.Swap(t.Context(), "k", 1, []byte("x")); !errors.Is(err, lease.ErrStale) {
		t.Errorf("with every try answered: %v", err)
	}
	if got, err := s.Get(t.Context(), "k"); err != nil || got.Revision != e.Revision {
		t.Errorf("read %+v, %v", got, err)
	}
}
