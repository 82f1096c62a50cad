package member

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// Count implements agent.Server.
//
// Which processes let commits go, and by which rule: a walsender does when its standby has flushed, by the setting as it last read it,
// and a backend goes on by itself while a flag in shared memory says that nobody is to be waited for, which the checkpointer sets. Each reads its
// settings at the top of its loop, before it looks at anything else. So once all were signalled, which is so when a new process has the
// new setting, each that is then seen waiting at the top of its loop goes by the new rule before it does anything else.
func (s *Server) Count(ctx context.Context, q cluster.Quorum) (history.Position, error) {
	s.acting.Lock()
	defer s.acting.Unlock()
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	if s.lacks(standbySignal) { // a promotion that broke off had not come so far
		if err := s.asStandby(ctx); err != nil {
			return history.Position{}, err
		}
	}
	if err := s.set(ctx, map[string]string{"synchronous_standby_names": names(q)}); err != nil {
		return history.Position{}, err
	}
	if err := s.taken(ctx); err != nil {
		return history.Position{}, err
	}
	row, err := s.ask(ctx, "select pg_current_wal_insert_lsn(), left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)")
	if err != nil {
		return history.Position{}, err
	}
	at, err := wal.ParseLSN(row[0])
	if err != nil {
		return history.Position{}, err
	}
	var timeline uint32
	if _, err := fmt.Sscanf(row[1], "%X", &timeline); err != nil {
		return history.Position{}, fmt.Errorf("read the timeline of %s: %w", s.c.Name, err)
	}
	return position(timeline, recordEnd(at)), nil
}

// rulers are the processes that let commits go, and whether each waits at the top of its loop now. pg_backup's senders let nothing go.
const rulers = `select a.pid || ' ' || a.backend_start, coalesce(a.wait_event, '') in ('WalSenderMain', 'CheckpointerMain', 'CheckpointWriteDelay')
 from pg_stat_activity a left join pg_stat_replication r on r.pid = a.pid
 where a.backend_type = 'checkpointer' or a.backend_type = 'walsender' and r.state in ('streaming', 'catchup')`

// taken waits until each of those was seen there after it was signalled, and once more after that: the first time it may not have
// woken up yet.
func (s *Server) taken(ctx context.Context) error {
	seen := map[string]int{}
	last := time.Time{}
	return s.until(ctx, "all of its processes count the new quorum", func() (bool, error) {
		out, err := s.keptQuery(ctx, rulers)
		if err != nil || time.Since(last) < 5*time.Millisecond {
			return false, err
		}
		last = time.Now()
		all := true
		for _, r := range out {
			if r[1] == "t" {
				seen[r[0]]++
			}
			all = all && seen[r[0]] >= 2
		}
		return all, nil
	})
}
