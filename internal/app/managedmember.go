package app

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster/bare"
	"github.com/backstaydb/backstay/internal/engine/postgres"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/history"
)

// buildAgents makes the agents of this host's members.
func (m *managed) buildAgents(say func(managedEvent)) error {
	h := m.host
	for _, name := range m.config.Order {
		own := m.config.Members[name]
		if own.Host != m.house.name || own.Receiver {
			continue
		}
		c, err := m.serverOf(name)
		if err != nil {
			return &ClusterError{Cluster: m.name, Member: name, Err: err}
		}
		release, err := hold(c.Dir)
		if err != nil {
			return &ClusterError{Cluster: m.name, Member: name, Err: err}
		}
		m.holds = append(m.holds, release)
		m.lent(&c)
		c.Said = func(text string) { h.Log.Info(text, "cluster", m.name, "member", name) }
		c.Saved = func(from, to history.Position, dir string) { say(managedEvent{aside: &aside{name, from, to, dir}}) }
		s, err := member.New(c)
		if err != nil {
			return &ClusterError{Cluster: m.name, Member: name, Err: err}
		}
		m.servers = append(m.servers, s)
		var deadline *agent.Deadline
		var guarded func() bool
		if own.Guard {
			w, err := m.guard(name, c.Dir)
			if err != nil {
				return &ClusterError{Cluster: m.name, Member: name, Err: err}
			}
			m.guards, deadline, guarded = append(m.guards, w), w.deadline, w.process.Alive
		}
		a, err := agent.New(agent.Config{
			Deadline: deadline, Guarded: guarded, Cluster: m.decided, Member: name, Dir: h.memberState(m.name, name), Store: &m.house.coordination.store, Key: stateKey(m.name), Server: s,
			Voucher: m.voucher, Tell: func(e agent.Event) { say(managedEvent{agent: &e}) },
		})
		if err != nil {
			return &ClusterError{Cluster: m.name, Member: name, Err: err}
		}
		m.agents[name] = a
	}
	return nil
}

// memberState is the folder of an agent.
func (h *Host) memberState(cluster, member string) string {
	return filepath.Join(h.State(), "members", cluster, member)
}

// serverOf is how this host's member is reached and acted on.
func (m *managed) serverOf(name string) (member.Config, error) {
	h, own := m.host, m.config.Members[name]
	c := member.Config{Cluster: m.name, Name: name, Dir: own.Data, Members: map[string]string{}, Known: m.config.Order, Arguments: own.Arguments, Aside: filepath.Join(h.memberState(m.name, name), "aside")}
	if !filepath.IsAbs(c.Dir) {
		c.Dir = filepath.Join(h.Config.Dir(), c.Dir)
	}
	if own.Programs != "" {
		p, err := server.Open(own.Programs)
		if err != nil {
			return c, err
		}
		c.Programs = p
	}
	_, port, err := net.SplitHostPort(addressOf(own.URL))
	if err != nil {
		return c, err
	}
	c.URL = cmp.Or(own.Local, "postgres://postgres@/postgres?host=/var/run/postgresql&port="+port)
	for _, other := range m.config.Order {
		if other == name || m.config.Members[other].URL == "" {
			continue
		}
		info, err := conninfo(m.config.Members[other].URL)
		if err != nil {
			return c, err
		}
		c.Members[other] = info
	}
	return c, nil
}

// conninfo is a member's URL as libpq's keywords, for the settings of standbys.
func conninfo(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("read URL: it is not of the form postgres://user@host:5432") // the cause would show it
	}
	words := []string{"host=" + quoted(u.Hostname()), "port=" + cmp.Or(u.Port(), "5432"), "user=" + quoted(u.User.Username())}
	q := u.Query()
	for _, key := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "passfile"} {
		if v := q.Get(key); v != "" {
			words = append(words, key+"="+quoted(v))
		}
	}
	return strings.Join(words, " "), nil
}

func quoted(v string) string {
	if v != "" && !strings.ContainsAny(v, ` '\`) {
		return v
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// buildMember finds who answers for a member.
func (m *managed) buildMember(name string, say func(managedEvent)) error {
	own := m.config.Members[name]
	switch {
	case own.Receiver && m.receiver != nil:
		m.members[name] = m.receiver
		return nil
	case own.Receiver:
		m.members[name] = m.remote(name)
		return nil
	case m.agents[name] != nil:
		m.members[name] = m.agents[name]
	case own.Host != "":
		m.members[name] = m.remote(name)
	default:
		m.bare[name] = m.bareOf(name, say)
		m.members[name] = m.bare[name]
	}
	l, err := lookerOf(own.URL)
	if err != nil {
		return &ClusterError{Cluster: m.name, Member: name, Err: err}
	}
	m.lookers = append(m.lookers, l)
	return nil
}

// bareOf is a member that is reached over SQL alone.
func (m *managed) bareOf(name string, say func(managedEvent)) *bare.Member {
	h := m.host
	return bare.New(bare.Config{
		Cluster: m.decided, Member: name, Host: m.house.name, Store: &m.house.coordination.store, Key: stateKey(m.name), Alone: h.Config.Coordination == nil,
		Settings: func(ctx context.Context) (*pgconn.Config, error) {
			return postgres.Settings(ctx, m.config.Members[name].URL)
		},
		Upstream: func(ctx context.Context, from string) (string, error) {
			return upstream(ctx, m.config.Members[from].URL, name)
		},
		Tell: func(e bare.Event) {
			say(managedEvent{agent: &agent.Event{Member: e.Member, What: "bare", Text: e.Text, Err: e.Err}})
		},
	})
}

// upstream is how a server that is reached over SQL alone streams from another one. Nobody can put a file with a password beside it, so the one that the
// URL's auth stands for is in it.
func upstream(ctx context.Context, url, name string) (string, error) {
	info, err := conninfo(url)
	if err != nil {
		return "", err
	}
	password, err := postgres.Password(ctx, url)
	if err != nil {
		return "", err
	}
	if password != "" {
		info += " password=" + quoted(password)
	}
	return info + " application_name=" + quoted(name), nil
}
