package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/freeport"
)

// site is three hosts, each with a server, a voter and a listener, on this machine.
type site struct {
	t       *testing.T
	servers map[string]*pgtest.Cluster
	rw      map[string]string
	hosts   map[string]*Host
	ends    map[string]func()
}

var siteHosts = []string{"ha1", "ha2", "ha3"}

func newSite(t *testing.T) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Setenv("PGPASSWORD", pgtest.Password)
	s := &site{t: t, servers: map[string]*pgtest.Cluster{}, rw: map[string]string{}, hosts: map[string]*Host{}, ends: map[string]func(){}}
	db1 := pgtest.New(t, pgtest.Options{Settings: small})
	prepare(t, db1)
	ports := map[string]int{}
	file := "coordination: { embedded: { peers: [ha1, ha2, ha3] } }\nhosts:\n"
	for i, host := range siteHosts {
		s.servers[host] = db1
		if i > 0 {
			s.servers[host] = db1.Standby(t, "db"+host[2:])
		}
		ports[host], s.rw[host] = freeport.Ports(t, 3), freeport.Address(t)
		file += fmt.Sprintf("  %s: { address: \"127.0.0.1:%d\" }\n", host, ports[host])
	}
	t.Cleanup(func() {
		for _, c := range s.servers {
			if err := member.Halt(context.Background(), c.Dir); err != nil {
				t.Error(err)
			}
		}
	})
	file += "clusters:\n  shop:\n    members:\n"
	for _, host := range siteHosts {
		c := s.servers[host]
		file += fmt.Sprintf("      db%s: { url: \"postgres://backstay@127.0.0.1:%d/?sslmode=disable\", host: %s, data: %s, programs: %s, local: \"%s\" }\n",
			host[2:], c.Port, host, c.Dir, c.Programs.Dir, c.SocketURL(pgtest.Admin))
	}
	for _, host := range siteHosts { // the same file but for the port: these hosts share one machine
		own := file + fmt.Sprintf("    listen: { rw: \"%s\", ask_idle: 100ms }\n    failover: { mode: automatic, after: %ds, lease: %dms, max_loss: 0B }\n", s.rw[host], slow, 1500*slow)
		path := filepath.Join(t.TempDir(), config.Name)
		if err := os.WriteFile(path, []byte(own), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		s.hosts[host] = NewHost(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)).With("host", host))
	}
	return s
}

// start runs the daemon of a host.
func (s *site) start(host string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.hosts[host].Run(ctx, RunOptions{Host: host, Exit: func(error) int { return 1 }}) }()
	over := false
	s.ends[host] = func() {
		if over {
			return
		}
		over = true
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			s.t.Errorf("%s: %v", host, err)
		}
	}
	s.t.Cleanup(s.ends[host])
}

func (s *site) cluster(host string) (c api.Cluster) {
	status, err := s.hosts[host].Status(s.t.Context())
	if err == nil && len(status.Clusters) == 1 {
		c = status.Clusters[0]
	}
	return c
}

// serving waits until a host's clients are led to a primary other than one.
func (s *site) serving(host, not string) (c api.Cluster) {
	s.t.Helper()
	until(s.t, host+" leads to a primary other than "+not, func() bool {
		c = s.cluster(host)
		return c.State == "serving" && c.Primary != "" && c.Primary != not && settled(c)
	}, func() string { return fmt.Sprintf("%+v", c) })
	return c
}

func TestThreeHosts(t *testing.T) {
	s := newSite(t)
	if err := s.hosts["ha2"].Run(t.Context(), RunOptions{Host: "ha2"}); !errors.Is(err, errNoPassport) || hintOf(err) == "" {
		t.Fatalf("a host that has not joined runs: %v", err)
	}
	found, err := s.hosts["ha1"].InspectCluster(t.Context(), "shop")
	if err != nil || len(found.Refused) > 0 || len(found.SQL) != 1 || !strings.Contains(found.SQL[0], "fsync") { // which tests turn off
		t.Fatalf("inspection %+v, %v", found, err)
	}
	done, tokens, err := s.hosts["ha1"].NewPassports(t.Context(), "ha1")
	if err != nil || len(done) != 2 || len(tokens) != 2 {
		t.Fatalf("passports: %v, %v, %v", done, tokens, err)
	}
	if done, _, err := s.hosts["ha1"].NewPassports(t.Context(), "ha1"); err != nil || len(done) != 0 {
		t.Errorf("again: %v, %v", done, err)
	}
	s.start("ha1")
	for _, token := range tokens {
		until(t, token.Host+" joins", func() bool {
			names, err := s.hosts[token.Host].Join(t.Context(), token.Host, token.Token)
			return err == nil && names.Host == token.Host
		}, func() string {
			_, err := s.hosts[token.Host].Join(t.Context(), token.Host, token.Token)
			return fmt.Sprint(err)
		})
	}
	if _, err := s.hosts["ha2"].Join(t.Context(), "ha2", tokens[1].Token); err == nil {
		t.Error("a host joins twice")
	}
	s.start("ha2")
	s.start("ha3")
	for _, host := range siteHosts {
		s.serving(host, "")
	}
	first := s.serving("ha3", "") // on a machine that is busy with other things it may have changed already
	hostOf := func(member string) string { return "ha" + member[2:] }
	victim := hostOf(first.Primary)
	others := slices.DeleteFunc(slices.Clone(siteHosts), func(h string) bool { return h == victim })
	if _, err := say(t.Context(), s.rw[others[0]], "insert into notes (text) values ('before') returning text"); err != nil {
		t.Fatal(err)
	}

	// The host of the primary dies: its daemon with voter, agent and keeper, and its server.
	died := time.Now()
	s.servers[victim].Crash(t)
	s.ends[victim]()
	stopped := time.Since(died)
	if _, err := say(t.Context(), s.rw[others[0]], "insert into notes (text) values ('after') returning text"); err != nil {
		t.Fatalf("who connects while there is no primary: %v", err)
	}
	t.Logf("writes stood for %v, of which the daemon took %v to end", time.Since(died).Round(time.Millisecond), stopped.Round(time.Millisecond))
	s.serving(others[1], first.Primary)
	if got, err := say(t.Context(), s.rw[others[1]], "select string_agg(text, ',' order by n) from notes"); err != nil || got != "before,after" {
		t.Errorf("notes %q, %v", got, err)
	}

	// It comes back, with its server as it was.
	s.start(victim)
	until(t, "the old primary follows", func() bool {
		c := s.cluster(others[0])
		for _, m := range c.Members {
			if m.Name == first.Primary {
				return m.Role == "replica" && m.Following == c.Primary
			}
		}
		return false
	})

	// The death of a host without the primary, and of its voter, stops no write.
	now := s.serving(others[0], first.Primary)
	rest := slices.DeleteFunc(slices.Clone(others), func(h string) bool { return h == hostOf(now.Primary) })[0]
	s.ends[rest]()
	for n := range 20 {
		began := time.Now()
		if _, err := say(t.Context(), s.rw[victim], fmt.Sprintf("insert into notes (text) values ('%d') returning text", n)); err != nil || time.Since(began) > 3*slow*time.Second {
			t.Errorf("after %s is gone: %v after %v", rest, err, time.Since(began))
		}
	}
	until(t, "a switchover, once the proxy that is gone is not waited for any more", func() bool {
		out, err := s.hosts[victim].Order(t.Context(), "shop", api.ClusterOrder{Verb: "switchover", To: first.Primary, By: "anna"})
		return err == nil && out.Primary == first.Primary
	})
}
