package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/authority"
	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/lease/file"
	"github.com/backstaydb/backstay/internal/peer"
)

// house is what the clusters that this host manages share: its name and certificate, the coordination, and the port at which the other hosts
// ask it.
type house struct {
	host         atomic.Pointer[Host] // what the file in force says
	name         string               // of this host
	id           *authority.Identity  // nil: there is no other host
	signs        *authority.Authority // nil: another host does, or none
	tokens       *file.Store
	coordination *coordination
	caller       *peer.Caller // nil without a certificate
	socket       net.Listener
	told         func(host, what string, err error)

	part func(source string) *protected // that is captured here; nil: none is

	mu       sync.Mutex
	clusters map[string]*managed
}

// openHouse opens what managed clusters need. It returns nil where the file has none.
func (h *Host) openHouse(name string) (*house, error) {
	if !slices.ContainsFunc(h.Config.ClusterNames(), func(c string) bool { return h.Config.Clusters[c].Managed() }) {
		return nil, nil
	}
	o := &house{name: name, clusters: map[string]*managed{}}
	o.host.Store(h)
	if err := o.open(); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

func (o *house) open() (err error) {
	h := o.host.Load()
	if others := h.otherHosts(o.name); len(others) > 0 {
		if h.Config.Coordination == nil {
			return &hostError{fmt.Errorf("the file names other hosts (%s), and no coordination", list(others)), "several hosts decide together: coordination: { embedded: { peers: [three hosts] } }"}
		}
		if err := o.passport(); err != nil {
			return err
		}
	}
	o.coordination, err = h.openCoordination(o.name, o.id)
	return err
}

// passport reads this host's certificate, and opens the port at which it is asked.
func (o *house) passport() (err error) {
	h := o.host.Load()
	if o.id, err = authority.OpenIdentity(h.passport()); errors.Is(err, fs.ErrNotExist) {
		return errNoPassport
	} else if err != nil {
		return err
	}
	if n, err := o.id.Names(); err != nil || n.Host != o.name {
		return &PassportError{hostError{fmt.Errorf("this host's certificate says that it is %s, and it was told that it is %s", n.Host, o.name), "backstay run --host " + n.Host}}
	}
	if o.signs, err = authority.Load(h.passport()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if o.signs != nil {
		if o.tokens, err = h.tokenBook(); err != nil {
			return err
		}
	}
	o.caller = peer.NewCaller(peer.Identity{Certificate: o.id.Certificate, Authorities: o.id.Authorities})
	address := listenAddress(h.Config.PeerAddress(o.name))
	if o.socket, err = net.Listen("tcp", address); err != nil {
		return &PortError{Door: "the other hosts", Address: address, Err: err}
	}
	return nil
}

// listenAddress is where a host listens that others reach at address: there if it is a number, else at all of its addresses, since a name may
// stand for another one on this host itself.
func listenAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil {
		return address
	}
	return net.JoinHostPort("", port)
}

func list(names []string) string {
	text := ""
	for i, n := range names {
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}

// close lets go of what never ran.
func (o *house) close() error {
	var errs []error
	if o.socket != nil {
		errs = append(errs, o.socket.Close())
	}
	if o.coordination != nil {
		errs = append(errs, o.coordination.store.Close())
	}
	return errors.Join(errs...)
}

// known reports whether a host stands in the file.
func (o *house) known(host string) bool {
	return host == o.name || slices.Contains(o.host.Load().otherHosts(o.name), host)
}

func (o *house) add(m *managed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clusters[m.name] = m
}

func (o *house) remove(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.clusters, name)
}

func (o *house) find(name string) *managed {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.clusters[name]
}

// run answers the other hosts, votes, and renews this host's certificate, until ctx ends.
func (o *house) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.coordination.run(ctx) })
	if o.id != nil {
		g.Go(func() error { return o.serve(ctx) })
		g.Go(func() error { return o.renew(ctx) })
	}
	return g.Wait()
}

// parts are what this host answers for.
func (o *house) parts() peer.Parts {
	return peer.Parts{
		Host: o.known,
		Member: func(cluster, member string) peer.Member {
			m := o.find(cluster)
			switch {
			case m == nil:
				return nil
			case m.agents[member] != nil:
				return m.agents[member]
			case m.receiver != nil && member == m.config.Receiver():
				return m.receiver
			}
			return nil
		},
		Log: func(cluster string) peer.Log {
			m, own := o.find(cluster), o.host.Load().Config
			if source := own.SourceOf(cluster); m != nil && source != "" && o.part(source) != nil {
				return m.books(source)
			}
			return nil
		},
		Voucher: func(cluster, member string) peer.Voucher {
			if m := o.find(cluster); m != nil && m.agents[member] != nil {
				return m.agents[member]
			}
			return nil
		},
		Granter: func(cluster string) peer.Granter {
			if m := o.find(cluster); m != nil {
				return m.granters()
			}
			return nil
		},
		Carrier: func(cluster string) peer.Carrier {
			if m := o.find(cluster); m != nil && m.renewer != nil {
				return m.renewer
			}
			return nil
		},
		Asked: func(host, question string, err error) {
			o.host.Load().Log.Debug("a question of another host failed", "host", host, "question", question, "err", err)
		},
	}
}

// serve answers the other hosts, and hosts that join. Only those that join come without a certificate; package peer answers none of them.
func (o *house) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/peer/", peer.Handler(o.parts()))
	conf := (peer.Identity{Certificate: o.id.Certificate, Authorities: o.id.Authorities}).Server()
	if o.signs != nil {
		desk := &authority.Desk{Authority: o.signs, Identity: o.id, Book: o.tokens, Now: o.host.Load().Now, Known: o.known, Told: o.told}
		mux.Handle("/authority/", desk.Handler())
		conf = desk.TLS()
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0)} // strangers who try the port are no news
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(tls.NewListener(o.socket, conf)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer the other hosts: %w", err)
	}
	return ctx.Err()
}

// renewEvery is how often it is looked whether half of the certificate's time is over.
const renewEvery = time.Hour

// renew keeps this host's certificate good, by asking the hosts of the file in turn: one of them signs.
func (o *house) renew(ctx context.Context) error {
	for ctx.Err() == nil {
		if o.id.Due(o.host.Load().Now()) {
			if err := o.renewed(ctx); err != nil && ctx.Err() == nil {
				o.host.Load().Log.Warn("this host's certificate is not renewed yet; trying again", "ends", o.id.Ends(), "err", err)
			}
		}
		_ = backoff.Sleep(ctx, renewEvery) // the loop sees the end of ctx
	}
	return ctx.Err()
}

func (o *house) renewed(ctx context.Context) error {
	if o.signs != nil {
		return o.id.RenewBy(o.signs, o.host.Load().Now())
	}
	var errs []error
	for _, other := range o.host.Load().otherHosts(o.name) {
		err := o.id.Renew(ctx, "https://"+o.host.Load().Config.PeerAddress(other), other)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sameHouse refuses a reload that changes what the managed clusters share.
func (d *daemon) sameHouse(next *config.Config) error {
	before := d.host().Config
	manages := func(c *config.Config) bool {
		return slices.ContainsFunc(c.ClusterNames(), func(name string) bool { return c.Clusters[name].Managed() })
	}
	if manages(before) == manages(next) && (!manages(next) || reflect.DeepEqual(before.Coordination, next.Coordination) && reflect.DeepEqual(before.Hosts, next.Hosts)) {
		return nil
	}
	return &hostError{errors.New("coordination, hosts, or whether clusters are managed at all, cannot change while the daemon runs"), "restart it: the servers go on meanwhile"}
}
