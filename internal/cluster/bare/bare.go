// Package bare is a member without an agent: a PostgreSQL server that is reached over SQL alone, as managed databases are. It runs beside each keeper,
// in the same process, and answers for the server as an agent would: it is a peer.Member and a peer.Granter.
//
// What an agent keeps on its host's disk is kept on the server itself, where every decider finds it and no replica gets a copy: as the names of
// physical replication slots that hold no log. They are created and dropped on a standby as on a primary, at once and durably.
//
//	backstay_<cluster>_p<epoch>   promised: nothing of lower epochs is carried out, and none of their primaries is followed
//	backstay_<cluster>_l<epoch>   led: the server is primary since that epoch, or was meant to be
//
// A file on a keeper's host would not do: a keeper that was cut off, and whose file says 7, would let a standby follow the old primary again after
// another host's keeper had promised 8 for it. So all commands run in one session of the server, the one that holds an advisory lock,
// and what was promised is read there, in that session, before each. Who wants to command a server and finds the lock taken ends the session that has it,
// which the server does as a whole or not at all; where one host decides without coordination (Config.Alone), it refuses to act instead: the other
// one may have another opinion of what the state is.
//
// What it promises:
//
//  1. A promise that a probe tells was made after the standby had ceased to receive, and nothing of a lower epoch was followed since,
//     as far as everybody who decides goes through this package.
//  2. A server without a promise is asked for nothing of an epoch below the state's.
//  3. Beats are sent only while this process holds the lock on the primary, and routes end with the tenure, as an agent's do.
//
// What it can't do, and the guide says so: stop a primary (Fence makes one read-only for those who play by the rules, and that is not counted as a
// fence), start a server, bring back one that was primary, say whose log a repository's continues, choose the number of a timeline, and vouch
// for an epoch while there is no coordination: then routes end after one lease.
package bare

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// Config of one member.
type Config struct {
	Cluster cluster.Config
	Member  string // of Cluster.Peers
	Host    string // this one; the server's sessions bear it

	Settings func(context.Context) (*pgconn.Config, error)            // of the server, read for each connection: a password may have been changed
	Upstream func(ctx context.Context, member string) (string, error) // primary_conninfo with which this member streams from another; its application_name is Member

	Store lease.Store
	Key   string // of the state's document
	Alone bool   // one host decides, without coordination: a lock that is taken stays so

	Now  func() time.Duration // nil: a clock that counts suspended time
	Tell func(Event)          // nil: nobody. It must not wait
}

// Event is something that people should read.
type Event struct {
	Member string
	Text   string
	Err    error
}

// Member is one server. New makes it, Run holds its tenure.
type Member struct {
	c    Config
	now  func() time.Duration
	tag  string // before the names of slots
	life string // of this process, in the names of its sessions
	lock int64  // key of the advisory lock, the same for all clusters: a server is in one of them

	eyes  *line // what is asked
	hands *line // what is commanded: the session that has the lock
	pen   *line // the write that is tried

	mu       sync.Mutex
	state    cluster.State
	revision uint64
	known    bool
	seen     sight         // newest
	asked    time.Duration // when it was asked for; Never: not yet
	tenure   cluster.Tenure
	counting cluster.Quorum
	told     bool // the server counts it
	switched history.Position
	short    time.Duration // since when too few standbys stream; Never: enough do
	writing  time.Duration // since when a write waits; Never: none does
	want     []route.ID
	granted  map[route.ID]time.Duration
	dropped  map[route.ID]bool
	holding  bool              // the lock
	complain map[string]string // what fails, and with what
	booted   time.Duration
	ended    time.Duration // when another one's session was last ended
	silenced time.Duration // when sessions of a fenced primary were last ended
}

var _ interface {
	peer.Member
	peer.Granter
} = (*Member)(nil)

// New makes a member. It connects to nothing yet.
func New(c Config) *Member {
	c.Cluster = c.Cluster.WithDefaults()
	sum, one := sha256.Sum256([]byte("backstay cluster "+c.Cluster.Cluster)), sha256.Sum256([]byte("backstay member"))
	m := &Member{
		c: c, now: c.Now, tag: "backstay_" + hex.EncodeToString(sum[:4]) + "_", lock: int64(binary.BigEndian.Uint64(one[:])),
		asked: cluster.Never, short: cluster.Never, writing: cluster.Never, ended: cluster.Never, silenced: cluster.Never,
		granted: map[route.ID]time.Duration{}, dropped: map[route.ID]bool{}, complain: map[string]string{},
	}
	if m.now == nil {
		m.now = func() time.Duration { return time.Duration(proxy.Now()) }
	}
	m.booted, m.life = m.now(), rand.Text()[:8]
	m.eyes, m.hands, m.pen = newLine(m, "probe"), newLine(m, "keeper"), newLine(m, "write probe")
	return m
}

// looking is how often the server is looked at beside probes, and the lock.
const looking = 200 * time.Millisecond

// Run works until ctx ends; the lock is let go then.
func (m *Member) Run(ctx context.Context) error {
	var all sync.WaitGroup
	every := func(pause time.Duration, do func(context.Context)) {
		all.Go(func() {
			for ctx.Err() == nil {
				do(ctx)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	every(m.c.Cluster.Lease/5, m.round)
	every(looking, m.observe)
	every(time.Second, m.write)
	all.Wait()
	for _, l := range []*line{m.eyes, m.hands, m.pen} {
		l.end()
	}
	return nil
}

// observe looks at the server, and holds the lock while this host is the one that decides.
func (m *Member) observe(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, m.c.Cluster.After)
	defer stop()
	if _, err := m.look(ctx); err != nil {
		return
	}
	leads, err := m.c.Store.Leads(ctx)
	if err == nil && !leads {
		m.hands.end()
		m.hold(false)
		return
	}
	err, free := m.hands.try(ctx, func(s *session) error {
		_, err := s.ask(ctx, "select 1")
		return err
	})
	if free {
		m.hold(err == nil)
		m.report("hold the lock", err)
	}
}

func (m *Member) hold(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holding = yes
}

// report tells what does not work, once.
func (m *Member) report(what string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	m.mu.Lock()
	news := text != m.complain[what]
	m.complain[what] = text
	m.mu.Unlock()
	if news && err != nil && !errors.Is(err, context.Canceled) {
		m.tell(m.c.Member+": "+what, err)
	}
}

func (m *Member) tell(text string, err error) {
	if m.c.Tell != nil {
		m.c.Tell(Event{m.c.Member, text, err})
	}
}

// write tries whether the server's disk takes a commit. It waits for that as long as it takes: the age of the wait is the answer.
func (m *Member) write(ctx context.Context) {
	m.mu.Lock()
	mine := m.seen.primary && m.holding
	if mine {
		m.writing = m.now()
	}
	m.mu.Unlock()
	if !mine {
		return
	}
	err := m.pen.use(ctx, func(s *session) error {
		_, err := s.ask(ctx, commit)
		return err
	})
	if err != nil && ctx.Err() == nil {
		m.pen.drop()
	}
	m.report("try to write", err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writing = cluster.Never
}

// commit writes a record that nobody reads, and waits until the server's own disk has it.
const commit = "select pg_logical_emit_message(true, 'backstay', '')"

func (m *Member) refuse(format string, args ...any) error {
	return peer.Refuse(m.c.Member + " " + fmt.Sprintf(format, args...))
}
