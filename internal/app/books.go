package app

import (
	"context"
	"errors"
	"io"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/peer"
)

// books answers other hosts, and this one, for a cluster that is captured here.
type books struct {
	lender
	part func() *protected // nil while it is not open
}

var _ peer.Log = books{}

// Stored implements peer.Log.
func (b books) Stored(_ context.Context, timeline uint32) (history.Position, error) {
	p := b.part()
	if p == nil {
		return history.Position{}, peer.Refuse("source " + b.source + " is not open yet")
	}
	if at := p.safe(); at.Timeline == timeline {
		return at, nil
	}
	return history.Position{}, nil
}

// log is who has log of the cluster beside its members; nil where it is no source of the file.
func (m *managed) log() peer.Log {
	all := m.host.Config.All()
	source := all.SourceOf(m.name)
	if source == "" {
		return nil
	}
	if host := all.SourceHost(source); host != "" && host != m.house.name {
		return m.house.caller.Log(peer.Host{Name: host, Address: m.host.Config.PeerAddress(host)}, m.name)
	}
	return m.books(source)
}

func (m *managed) books(source string) peer.Log {
	return books{lender{m.host, source}, func() *protected { return m.house.part(source) }}
}

// stored asks how far the log is safe. What was once stored is taken to be there while nobody answers: a repository forgets nothing that is new.
type stored struct {
	log  peer.Log
	last map[uint32]history.Position
}

// Newest implements keeper.Repository. It is called by one goroutine.
func (s stored) Newest(ctx context.Context, timeline uint32) (history.Position, error) {
	at, err := s.log.Stored(ctx, timeline)
	if err != nil {
		if last, ok := s.last[timeline]; ok {
			return last, nil
		}
		return at, err
	}
	s.last[timeline] = at
	return at, nil
}

// lenders have log that no server has: the host that captures the cluster, and, with a key, this one.
type lenders struct {
	log peer.Log
	own lender
}

// Lend implements member.Lender.
func (l lenders) Lend(ctx context.Context, whom string, from history.Position, size uint64, to io.Writer) error {
	some := &counted{w: to}
	err := l.log.Lend(ctx, from, size, some)
	if err == nil || some.n > 0 || whom != cluster.Repository {
		return err
	}
	if _, kerr := l.own.h.reader(); kerr != nil {
		return err
	}
	if own := l.own.fromRepositories(ctx, from, size, to); own != nil {
		return errors.Join(err, own)
	}
	return nil
}

// counted counts what goes through it.
type counted struct {
	w io.Writer
	n int
}

func (c *counted) Write(data []byte) (int, error) {
	c.n += len(data)
	return c.w.Write(data)
}

// lent gives a member what lies outside of all servers: log, and what a copy is laid from.
func (m *managed) lent(c *member.Config) {
	all := *m.host
	all.Config = m.host.Config.All()
	source := all.Config.SourceOf(m.name)
	if source == "" {
		return
	}
	c.Lender = lenders{m.log(), lender{&all, source}}
	c.Recloner = recloner{&all, source}
}
