package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/authority"
	"github.com/backstaydb/backstay/internal/lease/file"
)

// tokenLife is how long a host may take to join.
const tokenLife = 24 * time.Hour

// passport is the folder with this host's certificate, and, on the host where the clusters were made, the key that signs.
func (h *Host) passport() string { return filepath.Join(h.State(), "passport") }

// otherHosts are the hosts of the file besides one: those of members, voters and listeners, and those with an address.
func (h *Host) otherHosts(host string) []string {
	var all []string
	add := func(names ...string) {
		for _, n := range names {
			if n != "" && n != host && !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	for _, name := range h.Config.ClusterNames() {
		c := h.Config.Clusters[name]
		for _, m := range c.Order {
			add(c.Members[m].Host)
		}
		add(c.Listen.Hosts...)
	}
	add(h.voters()...)
	for name := range h.Config.Hosts {
		add(name)
	}
	slices.Sort(all)
	return all
}

// NewPassports makes the authority of this file's hosts, this host's certificate, and a token for each other host. What is there already
// stays. done says what was made.
func (h *Host) NewPassports(ctx context.Context, host string) (done []string, tokens []api.JoinToken, err error) {
	others := h.otherHosts(host)
	if len(others) == 0 {
		return nil, nil, nil // one host speaks to nobody
	}
	dir := h.passport()
	a, err := authority.Load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, joined := authority.OpenIdentity(dir); joined == nil {
			return nil, nil, &hostError{fmt.Errorf("%s joined an authority that lies on another host", host), "run cluster init there"}
		}
		if a, err = authority.New(strings.Join(h.Config.ClusterNames(), ", "), h.Now()); err != nil {
			return nil, nil, err
		}
		if err = a.Save(dir); err == nil {
			done = append(done, "made the authority that certifies the hosts: "+filepath.Join(dir, "ca.key")+"; keep a copy of it away from this host")
		}
	}
	if err != nil {
		return done, nil, err
	}
	if _, err := authority.OpenIdentity(dir); errors.Is(err, fs.ErrNotExist) {
		if _, err := authority.FirstIdentity(dir, a, h.names(host), h.Now()); err != nil {
			return done, nil, err
		}
		done = append(done, "certified this host as "+host)
	} else if err != nil {
		return done, nil, err
	}
	for _, other := range others {
		t, err := h.NewToken(ctx, host, other)
		if err != nil {
			return done, tokens, err
		}
		tokens = append(tokens, t)
	}
	return done, tokens, nil
}

// names are what a host's certificate says.
func (h *Host) names(host string) authority.Names {
	n := authority.Names{Host: host}
	if address, _, err := net.SplitHostPort(h.Config.PeerAddress(host)); err == nil && address != host {
		n.Addresses = append(n.Addresses, address)
	}
	return n
}

// NewToken lets one host join within a day. host is this one, which has the authority's key.
func (h *Host) NewToken(ctx context.Context, host, other string) (api.JoinToken, error) {
	if !slices.Contains(h.otherHosts(host), other) {
		return api.JoinToken{}, &hostError{fmt.Errorf("host %q is not in the file", other), "name it under hosts, as the host of a member, or as a voter"}
	}
	a, err := authority.Load(h.passport())
	if errors.Is(err, fs.ErrNotExist) {
		return api.JoinToken{}, &hostError{errors.New("the authority's key is not on this host"), "run this where cluster init was run, or run cluster init first"}
	}
	if err != nil {
		return api.JoinToken{}, err
	}
	book, err := h.tokenBook()
	if err != nil {
		return api.JoinToken{}, err
	}
	defer book.Close()
	ends := h.Now().Add(tokenLife).Truncate(time.Second)
	t, err := a.NewToken(ctx, book, h.names(other), "https://"+h.Config.PeerAddress(host), ends)
	if err != nil {
		return api.JoinToken{}, err
	}
	return api.JoinToken{Host: other, Token: t.Text(), Ends: ends}, nil
}

// tokenBook keeps the tokens that were given out: on the host that signs, since hosts join before there is any coordination.
func (h *Host) tokenBook() (*file.Store, error) {
	return file.Open(filepath.Join(h.passport(), "tokens"))
}

// Join makes this host's certificate with a token. The daemon of the host that gave it must run.
func (h *Host) Join(ctx context.Context, host, token string) (authority.Names, error) {
	t, err := authority.ParseToken(token)
	if err != nil {
		return authority.Names{}, err
	}
	if _, err := authority.OpenIdentity(h.passport()); err == nil {
		return authority.Names{}, &hostError{errors.New("this host has joined already"), "its certificate is renewed by itself; to join anew, move " + h.passport() + " away"}
	}
	i, err := authority.Join(ctx, h.passport(), t, host)
	if err != nil {
		var away *net.OpError
		if errors.As(err, &away) {
			return authority.Names{}, &hostError{err, "does backstay run on the host that gave the token, and is its port open to this one?"}
		}
		return authority.Names{}, err
	}
	return i.Names()
}

// PassportError says that this host can't show who it is.
type PassportError struct{ hostError }

// hostError says what is wrong, and what to do.
type hostError struct {
	error
	hint string
}

func (e *hostError) Unwrap() error { return e.error }

// Hint says what to do about it.
func (e *hostError) Hint() string { return e.hint }
