package bare

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/peer"
)

// Act implements peer.Member. It returns when the action is done, or with an error at the end of ctx; the keeper asks again.
func (m *Member) Act(ctx context.Context, a cluster.Action) error {
	do := map[cluster.Verb]func(context.Context, *session, sight, cluster.Action) error{
		cluster.Fence: m.fence, cluster.Follow: m.follow, cluster.Promote: m.promote, cluster.Count: m.count, cluster.Fill: m.fill,
	}[a.Verb]
	if a.Member != m.c.Member || do == nil {
		return m.refuse("is asked to %s", a)
	}
	for again := false; ; again = true {
		begun := false
		err := m.hands.use(ctx, func(s *session) error {
			now, err := m.able(ctx, s, a.Epoch)
			if err != nil {
				return err
			}
			begun = true
			return do(ctx, s, now, a)
		})
		var locked *LockedError
		if err == nil || begun || again || errors.Is(err, peer.ErrRefused) || errors.As(err, &locked) || ctx.Err() != nil {
			return err
		}
		// The session was ended since it was last used.
	}
}

// able looks at the server in the session that has the lock, and refuses an epoch below what was promised. A server that promised nothing is
// judged by the state: whoever promised for it before, and lost that, had read it too.
func (m *Member) able(ctx context.Context, s *session, epoch uint64) (sight, error) {
	asked := m.now()
	now, err := m.see(ctx, s)
	if err != nil {
		return now, err
	}
	m.note(&now, asked)
	floor := now.promised
	if floor == 0 {
		e, err := m.c.Store.Get(ctx, m.c.Key)
		if err != nil {
			return now, err
		}
		if err := m.learn(e); err != nil {
			return now, err
		}
		m.mu.Lock()
		floor = m.state.Epoch
		m.mu.Unlock()
	}
	if epoch < floor {
		return now, m.refuse("promised epoch %d, and is asked for something of %d", floor, epoch)
	}
	return now, nil
}

// mark makes a slot's name the record of an epoch, before what it stands for is told, and takes those of earlier ones away.
func (m *Member) mark(ctx context.Context, s *session, kind string, epoch, have uint64) error {
	if have >= epoch {
		return nil
	}
	if _, err := s.ask(ctx, fmt.Sprintf("select pg_create_physical_replication_slot('%s%s%d')", m.tag, kind, epoch)); err != nil && !duplicate(err) {
		return fmt.Errorf("record epoch %d on the server: %w", epoch, err)
	}
	_, err := s.ask(ctx, fmt.Sprintf(`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name like '%s%s%%' and not active and substr(slot_name, %d)::numeric < %d`,
		strings.ReplaceAll(m.tag, "_", `\_`), kind, len(m.tag)+2, epoch))
	return err
}

func duplicate(err error) bool {
	said, ok := err.(*pgconn.PgError)
	return ok && said.Code == "42710"
}

// promise is on the server when it returns nil.
func (m *Member) promise(ctx context.Context, s *session, now sight, epoch uint64) error {
	if err := m.mark(ctx, s, "p", epoch, now.promised); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch > m.tenure.Epoch {
		m.tenure = m.tenure.End()
	}
	return nil
}

func (m *Member) fence(ctx context.Context, s *session, now sight, a cluster.Action) error {
	if now.primary && now.led >= a.Epoch {
		return m.refuse("is primary of epoch %d", now.led)
	}
	if now.primary {
		return m.tame(ctx, s, now)
	}
	if a.Epoch > now.promised {
		if err := m.detach(ctx, s); err != nil {
			return err
		}
	}
	return m.promise(ctx, s, now, a.Epoch)
}

// tame makes a primary that can't be stopped answer nobody's commit, as far as nobody says otherwise in his own session. It is no fence.
func (m *Member) tame(ctx context.Context, s *session, now sight) error {
	if !now.tame {
		if err := m.set(ctx, s, "default_transaction_read_only", "on", "synchronous_standby_names", "ANY 1 (backstay_fenced)"); err != nil {
			return err
		}
	}
	m.mu.Lock()
	due := m.now()-m.silenced > time.Second
	if due {
		m.silenced = m.now()
	}
	m.mu.Unlock()
	if due {
		if _, err := s.ask(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and application_name not like 'backstay %'"); err != nil {
			return err
		}
	}
	return m.refuse("was made read-only, and can't be stopped over SQL")
}

// set changes settings by name and value, durably, and has them read.
func (m *Member) set(ctx context.Context, s *session, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		statement := "alter system reset " + pairs[i]
		if pairs[i+1] != "" || pairs[i] == "primary_conninfo" {
			value, err := s.conn.EscapeString(pairs[i+1])
			if err != nil {
				return err
			}
			statement = fmt.Sprintf("alter system set %s = '%s'", pairs[i], value)
		}
		if _, err := s.ask(ctx, statement); err != nil {
			return fmt.Errorf("set %s: %w", pairs[i], err)
		}
	}
	_, err := s.ask(ctx, "select pg_reload_conf()")
	return err
}

// detach lets a standby follow nobody, and returns when nothing is received any more. A receiver that was just being started, for what a session
// that was ended had written, may show late: so there has to be none for a while.
func (m *Member) detach(ctx context.Context, s *session) error {
	if err := m.set(ctx, s, "primary_conninfo", ""); err != nil {
		return err
	}
	last, quiet := "", 0
	for quiet < 3 {
		r, err := s.ask(ctx, "select exists (select from pg_stat_wal_receiver), pg_last_wal_receive_lsn()")
		if err != nil {
			return err
		}
		if quiet++; r.text(0, 0) != "f" || r.text(0, 1) != last {
			quiet = 0
		}
		last = r.text(0, 1)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func (m *Member) follow(ctx context.Context, s *session, now sight, a cluster.Action) error {
	if now.primary {
		return m.refuse("was primary, and can't be brought back over SQL: make it anew from %s", a.From)
	}
	if err := m.promise(ctx, s, now, a.Epoch); err != nil {
		return err
	}
	if m.following(now.upstream) == a.From {
		return nil
	}
	return m.attach(ctx, s, a.From)
}

// attach has a standby stream from a member, without a slot of its own there: nobody can have made one.
func (m *Member) attach(ctx context.Context, s *session, from string) error {
	upstream, err := m.c.Upstream(from)
	if err != nil {
		return err
	}
	return m.set(ctx, s, "primary_slot_name", "", "primary_conninfo", upstream)
}

func (m *Member) promote(ctx context.Context, s *session, now sight, a cluster.Action) error {
	at := history.At(now.timeline, now.at)
	switch {
	case now.primary && now.led == a.Epoch:
		return m.count(ctx, s, now, a)
	case now.primary && now.led > 0:
		return m.refuse("is primary of epoch %d, and was not fenced", now.led)
	case at.Before(a.Upto):
		return m.refuse("has %s, and was appointed with %s", at.Plain(), a.Upto.Plain())
	}
	if err := m.promise(ctx, s, now, a.Epoch); err != nil {
		return err
	}
	if !m.holds(a.Epoch) {
		m.beat(ctx, a.Epoch)
	}
	if !m.holds(a.Epoch) {
		return m.refuse("has no tenure of epoch %d yet", a.Epoch)
	}
	if now.primary { // adopted: it counts the quorum before it is of the epoch in which that is on record
		if err := m.tellQuorum(ctx, s, a.Quorum); err != nil {
			return err
		}
		return m.mark(ctx, s, "l", a.Epoch, now.led)
	}
	if err := m.detach(ctx, s); err != nil {
		return err
	}
	if err := m.mark(ctx, s, "l", a.Epoch, now.led); err != nil {
		return err
	}
	if err := m.set(ctx, s, "synchronous_standby_names", rule(a.Quorum), "default_transaction_read_only", ""); err != nil {
		return err
	}
	if err := m.rise(ctx, s, a.Epoch); err != nil {
		return err
	}
	return m.tellQuorum(ctx, s, a.Quorum)
}

// rise promotes a standby that follows nobody, and waits until it is primary.
func (m *Member) rise(ctx context.Context, s *session, epoch uint64) error {
	if !m.holds(epoch) {
		return m.refuse("has no tenure of epoch %d any more", epoch)
	}
	if _, err := s.ask(ctx, "select pg_promote(false)"); err != nil {
		return err
	}
	for {
		r, err := s.ask(ctx, "select pg_is_in_recovery()")
		if err != nil || r.text(0, 0) == "f" {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// rule is the server's word for a quorum.
func rule(q cluster.Quorum) string {
	if q.K <= 0 {
		return ""
	}
	names := make([]string, len(q.Names))
	for i, n := range q.Names {
		names[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	return fmt.Sprintf("ANY %d (%s)", q.K, strings.Join(names, ", "))
}

func (m *Member) count(ctx context.Context, s *session, now sight, a cluster.Action) error {
	if !now.primary || now.led != a.Epoch {
		return m.refuse("is not primary of epoch %d", a.Epoch)
	}
	m.mu.Lock()
	done := m.counting.Is(a.Quorum) && m.told || a.Quorum.Step < m.counting.Step
	m.mu.Unlock()
	if done {
		return nil
	}
	return m.tellQuorum(ctx, s, a.Quorum)
}

// settling is how long the server's senders take at most to read their settings again, each by itself: until then a commit may be acknowledged by the rule before.
const settling = 250 * time.Millisecond

func (m *Member) tellQuorum(ctx context.Context, s *session, q cluster.Quorum) error {
	m.mu.Lock()
	m.counting, m.told = q, false
	m.mu.Unlock()
	if err := m.set(ctx, s, "synchronous_standby_names", rule(q)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settling):
	}
	now, err := m.see(ctx, s)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told, m.switched = true, history.At(now.timeline, now.at)
	return nil
}

// fill follows a member that has promised too for as long as ctx lasts, or until the log comes as far as it must.
func (m *Member) fill(ctx context.Context, s *session, now sight, a cluster.Action) error {
	switch {
	case now.primary || now.promised != a.Epoch:
		return m.refuse("takes no log for epoch %d", a.Epoch)
	case !history.At(now.timeline, now.at).Before(a.Upto):
		return nil
	case a.From == cluster.Repository:
		return m.refuse("can't be given log of a repository over SQL")
	}
	if err := m.attach(ctx, s, a.From); err != nil {
		return err
	}
	until := time.Now().Add(2 * time.Second)
	if end, ok := ctx.Deadline(); ok {
		until = end.Add(-500 * time.Millisecond)
	}
	var err error
	for time.Now().Before(until) && err == nil && history.At(now.timeline, now.at).Before(a.Upto) {
		time.Sleep(20 * time.Millisecond)
		now, err = m.see(ctx, s)
	}
	if derr := m.detach(ctx, s); err == nil {
		err = derr
	}
	return err
}
