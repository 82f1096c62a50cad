package etcd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/backstaydb/backstay/internal/lease"
)

// EndPoint is where one server answers clients.
type EndPoint struct {
	URL  string // https://host:port
	Name string // that its certificate must bear; empty: the host of URL
}

// Files name a certificate, its key and the authority that both sides must have theirs from, all PEM. Certificate and key are read
// again at each handshake, so that a renewed one is used without a restart.
type Files struct{ CA, Cert, Key string }

func (f Files) info() transport.TLSInfo {
	return transport.TLSInfo{TrustedCAFile: f.CA, CertFile: f.Cert, KeyFile: f.Key, ClientCertAuth: true, MinVersion: tls.VersionTLS13}
}

// Config of a store.
type Config struct {
	EndPoints []EndPoint
	TLS       Files         // zero: plain text, for an etcd that is reached over a safe network
	User      string        // of an external etcd; empty: the certificate says who asks
	Password  string        //
	Prefix    string        // before every key; empty means "backstay/"
	Host      string        // this host's name, for the hint of who leads; empty: it never leads
	Try       time.Duration // how long one end point may take before the next one is asked; zero means 400ms
	Log       *slog.Logger  // nil: nobody is told
}

// Store is a lease.Store over etcd. Open makes one.
type Store struct {
	cfg     Config
	clients []*clientv3.Client
	last    atomic.Int32 // number of the client that answered last
	hint    *hint
	voter   *Server // of this host, whose word on who leads counts; nil: the hint's does

	avoiding sync.Mutex
	avoided  map[string]string // host of each cluster's primary
}

// Open connects to none of the end points yet: they are dialled when there is something to ask.
func Open(cfg Config) (*Store, error) {
	cfg.Prefix, cfg.Try = cmp.Or(cfg.Prefix, "backstay/"), cmp.Or(cfg.Try, 400*time.Millisecond)
	if len(cfg.EndPoints) == 0 {
		return nil, errors.New("open coordination: no end point is named")
	}
	s := &Store{cfg: cfg}
	for _, at := range cfg.EndPoints {
		client, err := dial(cfg, at)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("open coordination at %s: %w", at.URL, err)
		}
		s.clients = append(s.clients, client)
	}
	s.hint = newHint(s, cfg.Host)
	return s, nil
}

func dial(cfg Config, at EndPoint) (*clientv3.Client, error) {
	own := clientv3.Config{
		Endpoints: []string{at.URL}, Username: cfg.User, Password: cfg.Password, Logger: logger(cfg.Log, nil),
		DialTimeout: 2 * time.Second, MaxUnaryRetries: 1,
		// The second one is the kernel's TCP_USER_TIMEOUT too: a host that is cut off is noticed by the questions it leaves unanswered.
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: time.Second, PermitWithoutStream: true,
	}
	u, err := url.Parse(at.URL)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "https" {
		config, err := cfg.TLS.info().ClientConfig()
		if err != nil {
			return nil, err
		}
		config.ServerName = cmp.Or(at.Name, u.Hostname())
		own.TLS = config
	}
	return clientv3.New(own)
}

// each asks one end point after the other, the last one that answered first, until one says something that ends it.
func (s *Store) each(ctx context.Context, ask func(context.Context, *clientv3.Client) (final bool, err error)) error {
	first := int(s.last.Load())
	for tried := 0; ; tried++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		number := (first + tried) % len(s.clients)
		try, stop := context.WithTimeout(ctx, s.cfg.Try)
		final, err := ask(try, s.clients[number])
		stop()
		if final || err == nil {
			s.last.Store(int32(number))
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		if (tried+1)%len(s.clients) == 0 { // all have failed: not again at once
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// Get implements lease.Store.
func (s *Store) Get(ctx context.Context, key string) (lease.Entry, error) {
	var found lease.Entry
	err := s.each(ctx, func(ctx context.Context, c *clientv3.Client) (bool, error) {
		got, err := c.Txn(ctx).Then(clientv3.OpGet(s.cfg.Prefix+key), clientv3.OpGet(s.cfg.Prefix+generationKey)).Commit()
		if err != nil {
			return false, err
		}
		if kvs := got.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
			found = lease.Entry{Value: kvs[0].Value, Revision: revision(generationOf(got.Responses[1]), kvs[0].ModRevision)}
		}
		return true, nil
	})
	if err != nil {
		return lease.Entry{}, fmt.Errorf("read %s: %w", key, err)
	}
	return found, nil
}

// errUnsure is what a comparison that fails after an unanswered try says: it may be that try which changed the document.
var errUnsure = errors.New("a try was not answered and may have been carried out")

// Swap implements lease.Store.
func (s *Store) Swap(ctx context.Context, key string, from uint64, value []byte) (lease.Entry, error) {
	name, unsure := s.cfg.Prefix+key, false
	var made lease.Entry
	err := s.each(ctx, func(ctx context.Context, c *clientv3.Client) (bool, error) {
		got, err := c.Txn(ctx).If(s.still(name, from)...).Then(clientv3.OpPut(name, string(value)), clientv3.OpGet(s.cfg.Prefix+generationKey)).Commit()
		switch {
		case err != nil:
			unsure = true
			return false, err
		case got.Succeeded:
			made = lease.Entry{Value: value, Revision: revision(generationOf(got.Responses[1]), got.Header.Revision)}
			return true, nil
		case unsure:
			return true, errUnsure
		default:
			return true, lease.ErrStale
		}
	})
	if err != nil {
		return lease.Entry{}, fmt.Errorf("swap %s: %w", key, err)
	}
	return made, nil
}

// Watch implements lease.Store.
func (s *Store) Watch(ctx context.Context, key string, from uint64, tell func(lease.Entry)) error {
	now, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	if now.Revision > from {
		from = now.Revision
		tell(now)
	}
	ctx, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer stop()
	client := s.clients[int(s.last.Load())]
	generation, changed := split(from)
	for got := range client.Watch(ctx, s.cfg.Prefix+key, clientv3.WithRev(changed+1)) {
		if err := got.Err(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("watch %s: %w", key, err)
		}
		for _, event := range got.Events {
			if event.Type == clientv3.EventTypePut {
				tell(lease.Entry{Value: event.Kv.Value, Revision: revision(generation, event.Kv.ModRevision)})
			}
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("watch %s: %w", key, context.Cause(ctx))
	}
	return fmt.Errorf("watch %s: the connection was closed", key)
}

// Leads implements lease.Store: the embedded voter that leads raft, else the host that a document names.
func (s *Store) Leads(ctx context.Context) (bool, error) {
	if s.voter != nil {
		leads := s.voter.Leads()
		if leads {
			s.hint.reserve(ctx)
		}
		return leads, ctx.Err()
	}
	return s.hint.leads(ctx)
}

// Close ends all connections and watches. The embedded voter goes on.
func (s *Store) Close() error {
	var all error
	for _, c := range s.clients {
		if err := c.Close(); err != nil && !errors.Is(err, context.Canceled) {
			all = errors.Join(all, err)
		}
	}
	return all
}
