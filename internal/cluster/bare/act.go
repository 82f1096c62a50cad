package bare

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/cluster"
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
