package etcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/authority"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/lease/leasetest"
)

// hosts are voters in this process, on ports of their own, with certificates of one authority.
type hosts struct {
	t       *testing.T
	dir     string
	voters  []Voter
	ca      *authority.Authority
	running map[string]*Server
}

func newHosts(t *testing.T, names ...string) *hosts {
	t.Helper()
	h := &hosts{t: t, dir: t.TempDir(), running: map[string]*Server{}}
	var err error
	if h.ca, err = authority.New("shop", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		h.voters = append(h.voters, h.voter(name))
	}
	t.Cleanup(func() {
		var wait sync.WaitGroup
		for _, s := range h.running {
			wait.Go(s.Close)
		}
		wait.Wait()
	})
	return h
}

// voter draws ports and a certificate.
func (h *hosts) voter(name string) Voter {
	h.t.Helper()
	if _, err := authority.FirstIdentity(filepath.Join(h.dir, "tls", name), h.ca, authority.Names{Host: name, Addresses: []string{"127.0.0.1"}, Decides: name != "proxies"}, time.Now()); err != nil {
		h.t.Fatal(err)
	}
	return Voter{Name: name, Peer: "https://" + free(h.t), Client: "https://" + free(h.t)}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (h *hosts) files(name string) Files {
	dir := filepath.Join(h.dir, "tls", name)
	return Files{filepath.Join(dir, "ca.crt"), filepath.Join(dir, "host.crt"), filepath.Join(dir, "host.key")}
}

func (h *hosts) start(ctx context.Context, cfg ServerConfig) error {
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(h.dir, cfg.Name)
	}
	cfg.TLS, cfg.Role = h.files(cfg.Name), authority.Decider
	s, err := Start(ctx, cfg)
	if err != nil {
		return err
	}
	h.running[cfg.Name] = s
	return nil
}

// all starts every voter for the first time.
func (h *hosts) all() {
	h.t.Helper()
	ctx, stop := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer stop()
	var wait sync.WaitGroup
	var mu sync.Mutex
	for _, v := range h.voters {
		wait.Go(func() {
			s, err := Start(ctx, ServerConfig{Name: v.Name, Voters: h.voters, Dir: filepath.Join(h.dir, v.Name), TLS: h.files(v.Name), Role: authority.Decider})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				h.t.Error(err)
				return
			}
			h.running[v.Name] = s
		})
	}
	wait.Wait()
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// ends are the end points, those of name first.
func (h *hosts) ends(name string) []EndPoint {
	var all []EndPoint
	for _, v := range h.voters {
		all = append(all, EndPoint{v.Client, v.Name})
	}
	slices.SortStableFunc(all, func(a, b EndPoint) int {
		return flag(b.Name == name) - flag(a.Name == name)
	})
	return all
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// open is a store as host name holds it.
func (h *hosts) open(name string) *Store {
	h.t.Helper()
	cfg := Config{EndPoints: h.ends(name), TLS: h.files(name), Host: name}
	var s *Store
	var err error
	if voter := h.running[name]; voter != nil {
		s, err = voter.Open(cfg)
	} else {
		s, err = Open(cfg)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { s.Close() })
	return s
}

func (h *hosts) leader() string {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for name, s := range h.running {
			if s.Leads() {
				return name
			}
		}
	}
	h.t.Fatal("nobody leads")
	return ""
}

func (h *hosts) kill(name string) {
	s := h.running[name]
	delete(h.running, name)
	s.halt() // as after kill -9: nothing is handed over before
	s.Close()
}

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

func (h *hosts) strangers(t *testing.T) {
	other := newHosts(t, "ha1")
	h.voter("proxies")
	for what, files := range map[string]Files{"another authority": other.files("ha1"), "a host that does not decide": h.files("proxies")} {
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
