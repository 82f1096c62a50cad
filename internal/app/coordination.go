package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/authority"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/lease/etcd"
	"github.com/backstaydb/backstay/internal/lease/file"
)

// coordination is where the states of this file's clusters are kept.
type coordination struct {
	host  *Host
	name  string // of this host
	store lateStore
	voter *etcd.ServerConfig // of this host; nil: it has none
	base  etcd.Config

	recoveries chan *revival // for the goroutine that keeps the voter alive
}

// openCoordination opens what the file names: voters in Backstay's own processes, an etcd that is there already, or a folder, where one host decides.
func (h *Host) openCoordination(name string, id *authority.Identity) (*coordination, error) {
	c := &coordination{host: h, name: name, recoveries: make(chan *revival)}
	co := h.Config.Coordination
	switch {
	case co == nil:
		s, err := file.Open(filepath.Join(h.State(), "clusters"))
		if err != nil {
			return nil, err
		}
		c.store.set(s)
		return c, nil
	case len(co.Etcd) > 0:
		c.base = h.external(co, name)
	default:
		if id == nil {
			return nil, errNoPassport
		}
		c.base = h.ownVoters(id, name)
		if slices.Contains(co.Embedded.Peers, name) {
			c.voter = &etcd.ServerConfig{Name: name, Voters: h.voterList(co.Embedded.Peers), Dir: h.voterFolder(), TLS: c.base.TLS, Hosts: append(h.otherHosts(name), name), Log: h.Log}
			return c, nil // its store comes with it
		}
	}
	s, err := etcd.Open(c.base)
	if err != nil {
		return nil, err
	}
	c.store.set(s)
	return c, nil
}

var errNoPassport = &PassportError{hostError{errors.New("this host has no certificate, which the others would ask for"), "on the first host: backstay cluster init; on this one: backstay cluster join TOKEN"}}

// ownVoters is how the voters of the file are asked.
func (h *Host) ownVoters(id *authority.Identity, name string) etcd.Config {
	ca, cert, key := id.Paths()
	c := etcd.Config{TLS: etcd.Files{CA: ca, Cert: cert, Key: key}, Host: name, Log: h.Log}
	for _, v := range h.voterList(h.Config.Coordination.Embedded.Peers) {
		c.EndPoints = append(c.EndPoints, etcd.EndPoint{URL: v.Client, Name: v.Name})
	}
	return c
}

// external is an etcd that is there already.
func (h *Host) external(co *config.Coordination, name string) etcd.Config {
	at := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(h.Config.Dir(), path)
	}
	out := etcd.Config{TLS: etcd.Files{CA: at(co.CA), Cert: at(co.Cert), Key: at(co.Key)}, Host: name, Log: h.Log}
	for _, u := range co.Etcd {
		out.EndPoints = append(out.EndPoints, etcd.EndPoint{URL: u})
	}
	return out
}

// voterList gives each voter the two ports behind that of its host.
func (h *Host) voterList(hosts []string) []etcd.Voter {
	var all []etcd.Voter
	for _, name := range hosts {
		all = append(all, etcd.Voter{Name: name, Peer: portBehind(h.Config.PeerAddress(name), 1), Client: portBehind(h.Config.PeerAddress(name), 2)})
	}
	return all
}

func portBehind(address string, n int) string {
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(number+n))}
	return u.String()
}

// lateStore is a lease.Store that comes when a majority of the voters is there, and is replaced when this host's voter was started again.
type lateStore struct{ now atomic.Pointer[lease.Store] }

// errNoMajority is why nothing can be read or written.
var errNoMajority = errors.New("the coordination is not ready: a majority of the voters must run")

func (l *lateStore) set(s lease.Store) (before lease.Store) {
	if old := l.now.Swap(&s); old != nil {
		return *old
	}
	return nil
}

func (l *lateStore) get() (lease.Store, error) {
	if s := l.now.Load(); s != nil {
		return *s, nil
	}
	return nil, errNoMajority
}

// Get implements lease.Store.
func (l *lateStore) Get(ctx context.Context, key string) (lease.Entry, error) {
	s, err := l.get()
	if err != nil {
		return lease.Entry{}, err
	}
	return s.Get(ctx, key)
}

// Swap implements lease.Store.
func (l *lateStore) Swap(ctx context.Context, key string, from uint64, value []byte) (lease.Entry, error) {
	s, err := l.get()
	if err != nil {
		return lease.Entry{}, err
	}
	return s.Swap(ctx, key, from, value)
}

// Watch implements lease.Store.
func (l *lateStore) Watch(ctx context.Context, key string, from uint64, tell func(lease.Entry)) error {
	s, err := l.get()
	if err != nil {
		return err
	}
	return s.Watch(ctx, key, from, tell)
}

// Leads implements lease.Store.
func (l *lateStore) Leads(ctx context.Context) (bool, error) {
	s, err := l.get()
	if err != nil {
		return false, err
	}
	return s.Leads(ctx)
}

// Avoid moves leadership away from the host of a cluster's primary, where the store can.
func (l *lateStore) Avoid(ctx context.Context, cluster, host string) error {
	s, err := l.get()
	if err != nil {
		return err
	}
	if mover, ok := s.(interface {
		Avoid(ctx context.Context, cluster, host string) error
	}); ok {
		return mover.Avoid(ctx, cluster, host)
	}
	return nil
}

// NextGeneration makes revisions newer than all before, where the store can be set back to an older copy of itself.
func (l *lateStore) NextGeneration(ctx context.Context, now time.Time) error {
	s, err := l.get()
	if err != nil {
		return err
	}
	if g, ok := s.(interface {
		NextGeneration(ctx context.Context, now time.Time) error
	}); ok {
		return g.NextGeneration(ctx, now)
	}
	return nil
}

// Close implements lease.Store.
func (l *lateStore) Close() error {
	s, err := l.get()
	if err != nil {
		return nil
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("close the coordination: %w", err)
	}
	return nil
}
