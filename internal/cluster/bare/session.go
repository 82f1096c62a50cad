package bare

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/cluster"
)

// session is one connection to the server.
type session struct {
	conn   *pgconn.PgConn
	dialed time.Duration
}

// line is at most one session, used by one at a time.
type line struct {
	m       *Member
	name    string
	mutex   chan struct{}
	session *session
	broken  atomic.Bool
}

func newLine(m *Member, name string) *line {
	return &line{m: m, name: name, mutex: make(chan struct{}, 1)}
}

// kept is for how long questions go over the same connection: a server that lets nobody new in is down as well.
const kept = 2 * time.Second

// use dials where that is due and calls do. An error of the connection ends it.
func (l *line) use(ctx context.Context, do func(*session) error) error {
	select {
	case l.mutex <- struct{}{}:
		defer func() { <-l.mutex }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return l.run(ctx, do)
}

// try is use where nobody else does.
func (l *line) try(ctx context.Context, do func(*session) error) (err error, free bool) {
	select {
	case l.mutex <- struct{}{}:
		defer func() { <-l.mutex }()
		return l.run(ctx, do), true
	default:
		return nil, false
	}
}

func (l *line) run(ctx context.Context, do func(*session) error) error {
	now := l.m.now()
	if s := l.session; s != nil && (s.conn.IsClosed() || l.broken.Load() || l == l.m.eyes && now-s.dialed > kept) {
		l.hang()
	}
	if l.session == nil {
		s, err := l.m.dial(ctx, l)
		if err != nil {
			return err
		}
		l.broken.Store(false)
		l.session = s
	}
	err := do(l.session)
	if l.session.conn.IsClosed() { // as after any error but the server's own word
		l.hang()
	}
	return err
}

func (l *line) hang() {
	ctx, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer stop()
	_ = l.session.conn.Close(ctx) // whatever it says, it is not used again
	l.session = nil
}

// drop has the session replaced before it is used again.
func (l *line) drop() { l.broken.Store(true) }

// end closes the session, and gives up the lock if it has it.
func (l *line) end() {
	l.mutex <- struct{}{}
	defer func() { <-l.mutex }()
	if l.session != nil {
		l.hang()
	}
}

// settings of each session: commits of its own wait for nobody, and the server notices within seconds that this host is gone, with the lock.
const settings = `set synchronous_commit = local; set lock_timeout = '2s'; set idle_in_transaction_session_timeout = '10s';
set tcp_keepalives_idle = 2; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3; set default_transaction_read_only = off; set search_path = pg_catalog`

func (m *Member) dial(ctx context.Context, l *line) (*session, error) {
	config, err := m.c.Settings(ctx)
	if err != nil {
		return nil, err
	}
	if config.Database == "" {
		config.Database = "postgres"
	}
	config.RuntimeParams["application_name"] = m.name(l)
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &session{conn, m.now()}
	if _, err = s.ask(ctx, settings); err == nil && l == m.hands {
		err = m.take(ctx, s)
	}
	if err != nil {
		closing, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer stop()
		_ = conn.Close(closing)
		return nil, err
	}
	return s, nil
}

// name of a line's sessions: of this life of this process, and for whom. Servers keep 63 bytes of it.
func (m *Member) name(l *line) string {
	return fmt.Sprintf("%.63s", fmt.Sprintf("backstay %s %s %.30s %s", l.name, m.life, m.c.Cluster.Cluster, m.c.Host))
}

// clusterOf is the cluster in the name of a keeper's session, as far as it stands there; "" for any other session.
func clusterOf(name string) string {
	words := strings.Fields(name)
	if len(words) < 4 || words[0] != "backstay" || words[1] != "keeper" {
		return ""
	}
	return words[3]
}

// LockedError says who else decides about a server.
type LockedError struct {
	Member, Who string
	Cluster     string // another one that has the server; "": the same
}

func (e *LockedError) Error() string {
	if e.Cluster != "" {
		return fmt.Sprintf("%s belongs to cluster %s: %s holds its lock", e.Member, e.Cluster, e.Who)
	}
	return fmt.Sprintf("%s is commanded by another one: %s holds its lock", e.Member, e.Who)
}

// Hint says what helps.
func (e *LockedError) Hint() string {
	if e.Cluster != "" {
		return "a server belongs to one cluster: take it out of one of the files, or give the cluster one name in all of them"
	}
	return "let one host decide, or write coordination into the file so that they agree"
}

// take locks the server for this session, from another one's where there is coordination to agree upon. Those who decide for another cluster agree with
// nobody of this one.
func (m *Member) take(ctx context.Context, s *session) error {
	for {
		got, err := s.ask(ctx, fmt.Sprintf("select pg_try_advisory_lock(%d)", m.lock))
		if err != nil {
			return err
		}
		if got.text(0, 0) == "t" {
			return nil
		}
		who, err := s.ask(ctx, fmt.Sprintf(`select l.pid, coalesce(a.application_name, '') from pg_locks l left join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.classid::bigint = %d and l.objid::bigint = %d and l.objsubid = 1 and l.granted`, uint64(m.lock)>>32, uint64(m.lock)&0xffffffff))
		if err != nil {
			return err
		}
		if len(who) == 0 {
			continue // gone meanwhile
		}
		own := who.text(0, 1) == m.name(m.hands) // one that this process gave up, and the server has not noticed yet
		locked := &LockedError{Member: m.c.Member, Who: who.text(0, 1)}
		if other := clusterOf(locked.Who); other != clusterOf(m.name(m.hands)) {
			locked.Cluster = other
		}
		if !own && (m.c.Alone || locked.Cluster != "") {
			return locked
		}
		if own || m.mayEnd() {
			if _, err := s.ask(ctx, "select pg_terminate_backend("+who.text(0, 0)+")"); err != nil {
				return err
			}
			if !own {
				m.tell("ended the session of "+who.text(0, 1)+", which held the lock of "+m.c.Member, nil)
			}
		}
		select {
		case <-ctx.Done():
			return locked
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// mayEnd bounds how often two who both think that they lead take the lock from each other.
func (m *Member) mayEnd() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.ended != cluster.Never && now-m.ended < 500*time.Millisecond {
		return false
	}
	m.ended = now
	return true
}

// rows are what a statement returned, as text; NULL is empty.
type rows [][][]byte

func (r rows) text(row, column int) string {
	if row >= len(r) || column >= len(r[row]) {
		return ""
	}
	return string(r[row][column])
}

// number reads a number that the server wrote; none is zero.
func (r rows) number(row, column int) uint64 {
	n, err := strconv.ParseUint(r.text(row, column), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ask runs statements, and returns the rows of the last one that has any.
func (s *session) ask(ctx context.Context, statements string) (rows, error) {
	all, err := s.conn.Exec(ctx, statements).ReadAll()
	if err != nil {
		return nil, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Err != nil {
			return nil, all[i].Err
		}
		if len(all[i].FieldDescriptions) > 0 {
			return all[i].Rows, nil
		}
	}
	return nil, nil
}
