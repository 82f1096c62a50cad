package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Group is the engine for a source that is several servers, copies of each other, of which one is primary. Its log is followed from whoever
// Lead names, and goes on across a promotion: a Source is connected to one of them, its Follow ends with engine.ErrMoved when another one leads,
// and its slot is kept on the others too (groupslots.go).
type Group struct {
	Engine

	Name    string            // of the cluster, for people
	Servers map[string]string // URL of each, by the name of the member

	// Lead names whom to follow. nil: the servers are asked once, when a Source is connected.
	Lead *Lead

	// Receiver is the name under which what is received counts as a member's: that in synchronous_standby_names. "": it is none.
	Receiver string

	// Safe is up to where the log lies in a repository: so far the slots of the others are moved. nil: they are not kept.
	Safe func() history.Position
}

var (
	_ engine.Protector     = Group{}
	_ engine.Sentineler    = Group{}
	_ engine.Fingerprinter = Group{}
	_ engine.Remainer      = (*groupSource)(nil)
)

// groupPatience is how long a connection waits for a server that leads and answers.
const groupPatience = 10 * time.Second

// Connect connects to the server that leads. It waits for one a while: a failover is under way, perhaps.
func (g Group) Connect(ctx context.Context, _ string, o engine.Options) (engine.Source, error) {
	if g.Lead == nil {
		member, err := g.find(ctx)
		if err != nil {
			return nil, err
		}
		return g.connect(ctx, member, o)
	}
	last := fmt.Errorf("connect to cluster %s: it has no primary now", g.Name)
	for late := time.After(groupPatience); ; {
		member, changed := g.Lead.Get()
		if member != "" {
			s, err := g.connect(ctx, member, o)
			if err == nil {
				return s, nil
			}
			last = err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late:
			return nil, last
		case <-changed:
		case <-after(member != "", 200*time.Millisecond):
		}
	}
}

// after is a channel that ticks once, or never.
func after(ticks bool, d time.Duration) <-chan time.Time {
	if !ticks {
		return nil
	}
	return time.After(d)
}

func (g Group) connect(ctx context.Context, member string, o engine.Options) (engine.Source, error) {
	url, ok := g.Servers[member]
	if !ok {
		return nil, fmt.Errorf("connect to cluster %s: it has no member %s", g.Name, member)
	}
	s, err := g.Engine.Connect(ctx, url, o)
	if err != nil {
		return nil, err
	}
	one := s.(*Source)
	one.receiver, one.lead = g.Receiver, g.Lead
	return &groupSource{Source: one, group: g, member: member}, nil
}

// find asks all servers which of them is primary. Of several, one was left behind: the one on the newest timeline counts.
func (g Group) find(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, groupPatience)
	defer cancel()
	names := slices.Sorted(maps.Keys(g.Servers))
	sights, errs := make([]engine.Sight, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { sights[i], errs[i] = g.sight(ctx, g.Servers[name]) })
	}
	all.Wait()
	found := -1
	for i, s := range sights {
		if errs[i] == nil && s.Role == engine.RolePrimary && (found < 0 || sights[found].Position.Timeline < s.Position.Timeline) {
			found = i
		}
	}
	if found < 0 {
		return "", fmt.Errorf("connect to cluster %s: none of %s is primary: %w", g.Name, strings.Join(names, ", "), errors.Join(append(errs, errNoPrimary)...))
	}
	return names[found], nil
}

var errNoPrimary = errors.New("those that answer are standbys")

func (g Group) sight(ctx context.Context, url string) (engine.Sight, error) {
	l, err := g.Member(url)
	if err != nil {
		return engine.Sight{}, err
	}
	defer l.Close() // the question was answered, or not
	return l.Look(ctx)
}

// OpenSentinel is engine.Sentineler's.
func (g Group) OpenSentinel(ctx context.Context, _ string, o engine.Options) (engine.Sentinel, error) {
	member, err := g.leader(ctx)
	if err != nil {
		return nil, err
	}
	return g.Engine.OpenSentinel(ctx, g.Servers[member], o)
}

// DropSentinel is engine.Sentineler's.
func (g Group) DropSentinel(ctx context.Context, _ string, o engine.Options, dry bool) (string, error) {
	member, err := g.leader(ctx)
	if err != nil {
		return "", err
	}
	return g.Engine.DropSentinel(ctx, g.Servers[member], o, dry)
}

// Fingerprint is engine.Fingerprinter's.
func (g Group) Fingerprint(ctx context.Context, s engine.Source) (engine.Fingerprint, error) {
	if one, ok := s.(*groupSource); ok {
		s = one.Source
	}
	return g.Engine.Fingerprint(ctx, s)
}

func (g Group) leader(ctx context.Context) (string, error) {
	if g.Lead == nil {
		return g.find(ctx)
	}
	member, _ := g.Lead.Get()
	if g.Servers[member] == "" {
		return "", fmt.Errorf("connect to cluster %s: it has no primary now", g.Name)
	}
	return member, nil
}
