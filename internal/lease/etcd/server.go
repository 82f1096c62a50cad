package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// Voter is one of the servers that keep the documents together.
type Voter struct {
	Name   string // of its host
	Peer   string // URL at which the other voters reach it
	Client string // URL at which stores reach it
}

// ServerConfig of an embedded voter.
type ServerConfig struct {
	Name         string   // which of Voters it is
	Voters       []Voter  // all of them, as of the first start; later starts go by what the folder says
	Dir          string   // its own folder, best on another disk than a database's
	ListenPeer   string   // URL; empty: as in Voters
	ListenClient string   // URL; empty: as in Voters
	TLS          Files    // for both URLs, both ways; zero: only with http URLs
	Hosts        []string // whose certificates are taken, of other voters and of clients; nil: any of the authority's
	Join         bool     // the others run already and have added it (Store.Add): it begins as a learner
	Recover      bool     // the other voters are lost for good: go on alone with what the folder has. What the lost ones knew more is lost too
	Log          *slog.Logger
}

// A voter is small and quick: it keeps some documents of a few KB.
const (
	heartbeat = 100 * time.Millisecond
	election  = 500 * time.Millisecond
	quota     = 256 << 20
	history   = "10000" // revisions that are kept for watchers: about ten minutes of three clusters' beats
)

// Server is an embedded voter. Start makes one.
type Server struct {
	cfg    ServerConfig
	etcd   *embed.Etcd
	failed chan error // has room for one: the first is told
	ready  bool
	close  sync.Once
}

// Start runs the voter and waits until it serves, for which a majority must be there. What ends Start before, ends the voter.
func Start(ctx context.Context, cfg ServerConfig) (*Server, error) {
	s := &Server{cfg: cfg, failed: make(chan error, 1)}
	inner, err := s.settings()
	if err != nil {
		return nil, fmt.Errorf("start voter %s: %w", cfg.Name, err)
	}
	if err := s.launch(inner); err != nil {
		return nil, fmt.Errorf("start voter %s: %w", cfg.Name, err)
	}
	select {
	case <-s.etcd.Server.ReadyNotify():
		s.ready = true
		return s, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case err = <-s.etcd.Err():
	case err = <-s.failed:
	case <-s.etcd.Server.StopNotify():
		err = errors.New("it stopped by itself, as one does that was removed")
	}
	s.Close()
	return nil, fmt.Errorf("start voter %s: it was not ready: %w", cfg.Name, err)
}

// launch calls etcd on a goroutine of its own, since a broken folder ends the one that finds it.
func (s *Server) launch(inner *embed.Config) error {
	done := make(chan error, 1)
	go func() {
		returned := false
		defer func() {
			if cause := recover(); cause != nil {
				done <- fmt.Errorf("etcd gave up: %v", cause)
			} else if !returned {
				done <- errors.New("etcd gave up")
			}
		}()
		running, err := embed.StartEtcd(inner)
		s.etcd, returned = running, true
		done <- err
	}()
	err := <-done
	select {
	case cause := <-s.failed:
		return errors.Join(err, cause)
	default:
		return err
	}
}

// die is told when etcd gives up, perhaps several times.
func (s *Server) die(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

func (s *Server) settings() (*embed.Config, error) {
	at := slices.IndexFunc(s.cfg.Voters, func(v Voter) bool { return v.Name == s.cfg.Name })
	if at < 0 {
		return nil, errors.New("it is not one of the voters")
	}
	own, c := s.cfg.Voters[at], embed.NewConfig()
	urls, err := parse(own.Peer, own.Client, cmp.Or(s.cfg.ListenPeer, own.Peer), cmp.Or(s.cfg.ListenClient, own.Client))
	if err != nil {
		return nil, err
	}
	c.AdvertisePeerUrls, c.AdvertiseClientUrls = urls[:1], urls[1:2]
	c.ListenPeerUrls, c.ListenClientUrls = urls[2:3], urls[3:4]
	c.Name, c.Dir = s.cfg.Name, s.cfg.Dir
	c.TickMs, c.ElectionMs, c.PreVote = uint(heartbeat.Milliseconds()), uint(election.Milliseconds()), true
	c.QuotaBackendBytes = quota
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, history
	c.EnableGRPCGateway = false
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger(s.cfg.Log, s.die))
	c.InitialCluster, c.InitialClusterToken = initial(s.cfg.Voters), "backstay"
	c.ForceNewCluster = s.cfg.Recover
	if s.cfg.Join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	if s.cfg.TLS != (Files{}) {
		info := s.cfg.TLS.info()
		c.TlsMinVersion = "TLS1.3"
		info.SkipClientSANVerify = true     // addresses change with routers between; the name is what counts
		info.AllowedHostnames = s.cfg.Hosts // a host that was taken out of the file is let in no more, though its certificate is good for a year
		c.PeerTLSInfo, c.ClientTLSInfo = info, info
	}
	return c, nil
}

func parse(all ...string) ([]url.URL, error) {
	var out []url.URL
	for _, text := range all {
		u, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		out = append(out, *u)
	}
	return out, nil
}

func initial(voters []Voter) string {
	var all []string
	for _, v := range voters {
		all = append(all, v.Name+"="+v.Peer)
	}
	return strings.Join(all, ",")
}

// Run waits until ctx ends, and stops the voter in good order, leadership handed on; or until it fails, and says why. The folder
// stays, and another Start goes on with it.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.etcd.Err():
		return fmt.Errorf("voter %s: %w", s.cfg.Name, err)
	case err := <-s.failed:
		return fmt.Errorf("voter %s: %w", s.cfg.Name, err)
	case <-s.etcd.Server.StopNotify():
		return fmt.Errorf("voter %s: it was removed, or stopped by itself", s.cfg.Name)
	}
}

// Close hands leadership on and stops the voter. It may be called again. Successor and clients that are connected have a second at most; etcd would
// give each of them six, which is longer than a restart of the whole process should take, and is left alone with them.
func (s *Server) Close() {
	s.close.Do(func() {
		if s.etcd == nil {
			return
		}
		if s.ready && s.Leads() { // without it the others elect one, half a second later
			within(election, func() { _ = s.etcd.Server.TryTransferLeadershipOnShutdown() })
		}
		s.halt()
		if !s.ready {
			return // etcd's own Close would wait until it is, for ever where the other voters are lost
		}
		within(time.Second, s.etcd.Close)
	})
}

// within waits for f, but not for long: each f ends by itself some seconds later.
func within(limit time.Duration, f func()) {
	ended := make(chan struct{})
	go func() {
		f()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(limit):
	}
}

// halt stops raft and closes folder and listeners.
func (s *Server) halt() {
	s.etcd.Server.HardStop()
	for _, l := range s.etcd.Clients {
		l.Close()
	}
	for _, l := range s.etcd.Peers {
		l.Close()
	}
}

// Open opens a store whose first end point is this voter, and whose hint is whether it leads.
func (s *Server) Open(cfg Config) (*Store, error) {
	store, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	store.voter = s
	return store, nil
}

// ClientURL is where this voter answers clients, also where ServerConfig left the port to the system.
func (s *Server) ClientURL() string { return "https://" + s.etcd.Clients[0].Addr().String() }

// Leads reports whether this voter leads raft, as far as it knows.
func (s *Server) Leads() bool { return s.etcd.Server.Leader() == s.etcd.Server.MemberID() }
