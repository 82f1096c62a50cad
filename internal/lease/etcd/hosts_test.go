package etcd

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/authority"
	"github.com/backstaydb/backstay/internal/freeport"
)

// hosts are voters in this process, on ports of their own, with certificates of one authority.
type hosts struct {
	t       *testing.T
	dir     string
	voters  []Voter
	ca      *authority.Authority
	allowed []string // hosts that the voters let in
	running map[string]*Server
}

func newHosts(t *testing.T, names ...string) *hosts {
	t.Helper()
	h := &hosts{t: t, dir: t.TempDir(), running: map[string]*Server{}, allowed: []string{"etcd", "ha1", "ha2", "ha3", "ha4", "ha5", "ha6"}}
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
	if _, err := authority.FirstIdentity(filepath.Join(h.dir, "tls", name), h.ca, authority.Names{Host: name, Addresses: []string{"127.0.0.1"}}, time.Now()); err != nil {
		h.t.Fatal(err)
	}
	return Voter{Name: name, Peer: "https://" + freeport.Address(h.t), Client: "https://" + freeport.Address(h.t)}
}

func (h *hosts) files(name string) Files {
	dir := filepath.Join(h.dir, "tls", name)
	return Files{filepath.Join(dir, "ca.crt"), filepath.Join(dir, "host.crt"), filepath.Join(dir, "host.key")}
}

func (h *hosts) start(ctx context.Context, cfg ServerConfig) error {
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(h.dir, cfg.Name)
	}
	cfg.TLS, cfg.Hosts = h.files(cfg.Name), h.allowed
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
			s, err := Start(ctx, ServerConfig{Name: v.Name, Voters: h.voters, Dir: filepath.Join(h.dir, v.Name), TLS: h.files(v.Name), Hosts: h.allowed})
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
