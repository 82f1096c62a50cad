package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// farewell is for how long the slot of a member that stands in the file no more is kept: somebody may put it back, and its log would be gone.
const farewell = 24 * time.Hour

// tending is how often the slots are looked at.
const tending = time.Minute

// Tend drops slots that were kept for members which are not in the file any more (Config.Known), before the log that they hold fills the disk. It
// says so a day before, drops none that is in use, and works until ctx ends. A server that does not answer is looked at the next time.
func (s *Server) Tend(ctx context.Context) error {
	if len(s.c.Known) == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(tending)
	defer tick.Stop()
	for {
		looking, cancel := context.WithTimeout(ctx, settle)
		_ = s.tend(looking, time.Now()) // what fails now is done with the next tick
		cancel()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// stranger is a slot of nobody's in the file.
type stranger struct {
	name  string
	holds int64 // bytes of log
}

func (s *Server) tend(ctx context.Context, now time.Time) error {
	if !s.acting.TryLock() { // Follow and Lead make slots, and a copy takes hours
		return nil
	}
	defer s.acting.Unlock()
	return s.with(ctx, func(conn *pgconn.PgConn) error {
		found, err := s.strangers(ctx, conn)
		if err != nil {
			return err
		}
		since, err := s.gone()
		if err != nil {
			return err
		}
		next := map[string]time.Time{} // one that was put back begins anew when it is taken out again
		for _, f := range found {
			first, told := since[f.name]
			switch {
			case !told:
				next[f.name] = now
				s.say("%s keeps %d MB of log in slot %s for a member that is not in the file any more; the slot is dropped after %s", s.c.Name, f.holds>>20, f.name, now.Add(farewell).UTC().Format(time.RFC3339))
			case now.Sub(first) < farewell:
				next[f.name] = first
			default:
				if err := s.dropStranger(ctx, conn, f); err != nil {
					return err
				}
			}
		}
		return s.noteGone(since, next)
	})
}

func (s *Server) strangers(ctx context.Context, conn *pgconn.PgConn) ([]stranger, error) {
	known := map[string]bool{}
	for _, name := range append([]string{s.c.Name}, s.c.Known...) {
		known[slot(name)] = true
	}
	rows, err := query(ctx, conn, `select slot_name, coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn), 0)::bigint
		from pg_replication_slots where slot_type = 'physical' and not active and `+ofMembers)
	if err != nil {
		return nil, err
	}
	var out []stranger
	for _, r := range rows {
		holds, err := strconv.ParseInt(r[1], 10, 64)
		if err != nil {
			return nil, err
		}
		if !known[r[0]] {
			out = append(out, stranger{r[0], max(holds, 0)})
		}
	}
	return out, nil
}

func (s *Server) dropStranger(ctx context.Context, conn *pgconn.PgConn, f stranger) error {
	if _, err := query(ctx, conn, "select pg_drop_replication_slot("+literal(f.name)+")"); err != nil { // somebody may use it by now
		return fmt.Errorf("drop slot %s: %w", f.name, plain(err))
	}
	s.say("%s dropped slot %s, which kept %d MB of log for a member that has not been in the file for %s", s.c.Name, f.name, f.holds>>20, farewell)
	return nil
}

// gone is since when slots have been strangers, across restarts.
func (s *Server) gone() (map[string]time.Time, error) {
	b, err := os.ReadFile(s.aside("gone.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	since := map[string]time.Time{}
	if err == nil {
		if json.Unmarshal(b, &since) != nil {
			return nil, nil // they are told of again, and wait as long again
		}
	}
	return since, err
}

func (s *Server) noteGone(before, next map[string]time.Time) error {
	if len(before) == 0 && len(next) == 0 {
		return nil
	}
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return atomicfile.Write(s.aside("gone.json"), b, 0o600)
}
