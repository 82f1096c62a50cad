package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/cluster/receiver"
)

// receiving is what this host captures of a cluster, as one of its members.
type receiving struct {
	h      *Host
	source string
	part   func() *protected // nil while it is not open
}

var _ receiver.Stream = receiving{}

// guide leads the source, nil while it is not open.
func (r receiving) guide() *guide {
	if p := r.part(); p != nil {
		return p.guide
	}
	return nil
}

// Attach implements receiver.Stream.
func (r receiving) Attach(_ context.Context, member string) error {
	g := r.guide()
	if g == nil {
		return errors.New("source " + r.source + " is not open yet")
	}
	g.lead.Set(member)
	return nil
}

// Detach implements receiver.Stream.
func (r receiving) Detach(ctx context.Context) error {
	g := r.guide()
	if g == nil {
		return nil
	}
	return g.lead.Clear(ctx)
}

// Look implements receiver.Stream.
func (r receiving) Look() receiver.Sight {
	p := r.part()
	if p == nil || p.guide == nil || p.archive == nil {
		return receiver.Sight{Heard: -1}
	}
	from, _ := p.guide.lead.Get()
	at := p.archive.Received()
	return receiver.Sight{SystemID: r.system(), Received: at, From: from, Heard: p.guide.lead.Heard(), Parted: !p.guide.whole.is()}
}

// system is the cluster that was received from, "" before the first time.
func (r receiving) system() string {
	text, err := os.ReadFile(filepath.Join(r.h.sourceState(r.source, "engine"), "cluster"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// buildReceiver makes what this host captures of the cluster a member of it, where the file says so.
func (m *managed) buildReceiver() (err error) {
	name := m.config.Receiver()
	if name == "" || m.config.Members[name].Host != m.house.name {
		return nil
	}
	h, source := m.host, m.host.Config.SourceOf(m.name)
	dir := h.memberState(m.name, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m.receiver, err = receiver.New(ctx, receiver.Config{Member: name, Dir: dir, Store: &m.house.coordination.store, Key: stateKey(m.name),
		Stream: receiving{h, source, func() *protected { return m.house.part(source) }}})
	if err != nil {
		return &ClusterError{Cluster: m.name, Member: name, Err: err}
	}
	return nil
}
