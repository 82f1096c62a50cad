package bare

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
)

func (m *Member) fence(ctx context.Context, s *session, now sight, a cluster.Action) error {
	if now.primary && now.led >= a.Epoch {
		return m.refuse("is primary of epoch %d", now.led)
	}
	if now.primary {
		return m.tame(ctx, s, now)
	}
	if a.Epoch > now.promised {
		if err := m.detach(ctx, s, now.led); err != nil {
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
		if _, err := s.ask(ctx, `select pg_terminate_backend(pid) from pg_stat_activity join pg_roles r on r.oid = usesysid
where backend_type = 'client backend' and application_name not like 'backstay %' and (not rolsuper or (select rolsuper from pg_roles where rolname = current_user))`); err != nil {
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
// that was ended had written, may show late: so there has to be none for a while. A promotion that such a session had asked for can't be
// taken back: where one may have been, it is waited for longer, until all log is replayed and it would have come.
func (m *Member) detach(ctx context.Context, s *session, led uint64) error {
	if err := m.set(ctx, s, "primary_conninfo", ""); err != nil {
		return err
	}
	want, last, quiet := 3, "", 0
	if led > 0 {
		want = 50
	}
	for quiet < want {
		r, err := s.ask(ctx, "select exists (select from pg_stat_wal_receiver), pg_last_wal_receive_lsn(), pg_is_in_recovery(), pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()")
		if err != nil {
			return err
		}
		if r.text(0, 2) == "f" {
			return m.refuse("has become primary of epoch %d meanwhile", led)
		}
		if quiet++; r.text(0, 0) != "f" || r.text(0, 1) != last || led > 0 && r.text(0, 3) == "f" {
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
	upstream, err := m.c.Upstream(ctx, from)
	if err != nil {
		return err
	}
	return m.set(ctx, s, "primary_slot_name", "", "primary_conninfo", upstream)
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
	if derr := m.detach(ctx, s, 0); err == nil {
		err = derr
	}
	return err
}
