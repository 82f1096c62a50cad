package member

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/cluster"
)

// Version from which on a running standby takes these settings.
const (
	conninfoReloads = 13
	restoreReloads  = 14
)

// alone are the settings of who follows nobody. The slot's name says nothing by itself, and each setting is written while clients wait.
func alone() map[string]string {
	return map[string]string{"primary_conninfo": "", "restore_command": ""}
}

// Detach implements agent.Server. Nothing that could receive log is left when it returns: no process, and nobody who would start one.
func (s *Server) Detach(ctx context.Context) error {
	s.acting.Lock()
	defer s.acting.Unlock()
	if err := s.apply(ctx, alone()); err != nil {
		return err
	}
	// apply returns when all processes were told. The one that starts receivers looks at that before it starts the next; a receiver
	// that was being started shows up within the time of some looks.
	gone := 0
	return s.until(ctx, "nothing receives log there", func() (bool, error) {
		out, err := s.keptQuery(ctx, "select count(*) from pg_stat_activity where backend_type = 'walreceiver'")
		if err != nil || out[0][0] != "0" {
			gone = 0
			return false, err
		}
		gone++
		return gone >= 3, nil
	})
}

// Follow implements agent.Server.
func (s *Server) Follow(ctx context.Context, member string) error {
	s.acting.Lock()
	defer s.acting.Unlock()
	if _, server := s.c.Members[member]; !server && s.c.Lender != nil {
		return s.fetch(ctx, member)
	}
	settings, err := s.following(member)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.asked = inquiry{}
	s.mu.Unlock()
	if err := s.startStandby(ctx, settings); err != nil {
		return err
	}
	return s.renewSlots(ctx)
}

func (s *Server) following(member string) (map[string]string, error) {
	if member == cluster.Repository {
		if s.c.Restore == "" {
			return nil, fmt.Errorf("%s has no command that fetches log from a repository", s.c.Name)
		}
		return map[string]string{"primary_conninfo": "", "primary_slot_name": "", "recovery_target_timeline": "latest", "restore_command": s.c.Restore}, nil
	}
	conninfo, err := s.conninfo(member)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"primary_conninfo": conninfo, "primary_slot_name": slot(s.c.Name), "recovery_target_timeline": "latest",
		"wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": s.retry(), "restore_command": s.c.Restore, "restart_after_crash": "off",
	}, nil
}

// Hurry implements agent.Server. Whoever replays log and finds none waits for wal_retrieve_retry_interval, but for a signal: the one that settings are
// to be read again. (WaitForWALToBecomeAvailable, StartupProcSigHupHandler)
func (s *Server) Hurry(ctx context.Context) error {
	_, err := s.keptQuery(ctx, reload+" where pg_is_in_recovery() and current_setting('primary_conninfo') <> ''"+
		" and not exists (select from pg_stat_wal_receiver where status = 'streaming')")
	return err
}

// retry is how long a standby waits before it asks again who did not answer: a primary is often asked a moment before it is one, and commits
// wait for the standby meanwhile. The server's own 5s are for a repository, which is asked as often.
func (s *Server) retry() string {
	if s.c.Restore != "" {
		return "500ms"
	}
	return "100ms"
}

// apply changes settings of a running standby, where its version allows that.
func (s *Server) apply(ctx context.Context, settings map[string]string) error {
	p, err := s.programs()
	if err != nil {
		return err
	}
	if p.Major < restoreReloads {
		settings = without(settings, "restore_command")
	}
	if p.Major >= conninfoReloads {
		return s.set(ctx, settings)
	}
	wrote, err := s.file(ctx, settings)
	if err != nil {
		return err
	}
	if !wrote {
		if is, err := s.counts(ctx, settings); err != nil || is {
			return err
		}
	}
	if err := s.stopCleanly(ctx); err != nil {
		return err
	}
	return s.launch(ctx)
}

func without(settings map[string]string, name string) map[string]string {
	out := map[string]string{}
	for n, v := range settings {
		if n != name {
			out[n] = v
		}
	}
	return out
}

// ofMembers matches the names that slot gives, in SQL. No source's slot has such a name, whatever it is called: those begin with "backstay_".
const ofMembers = `slot_name like 'backstaymember\_%'`

// slot is the name of the slot that a member uses at whom it streams from: its own name as far as it can be written there, and six digits of it.
func slot(member string) string {
	clean := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(member))
	sum := sha256.Sum256([]byte(member))
	return fmt.Sprintf("backstaymember_%s_%x", clean[:min(len(clean), 32)], sum[:3])
}

// keepSlots makes the slots of those that will stream from here. They hold nothing back before they are used, so that a standby has them too: who
// is told to follow it before it is primary finds one.
func keepSlots(ctx context.Context, conn *pgconn.PgConn, members []string) error {
	for _, m := range members {
		name := literal(slot(m))
		_, err := query(ctx, conn, "select pg_create_physical_replication_slot("+name+") where not exists (select from pg_replication_slots where slot_name = "+name+")")
		if err != nil && code(err) != alreadyThere {
			return fmt.Errorf("keep log for %s: %w", m, plain(err))
		}
	}
	return nil
}

// renewSlots replaces what this server kept for others while they streamed from it by slots that hold nothing: nobody moves the old ones on
// any more, and they would keep all log.
func (s *Server) renewSlots(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return s.with(ctx, func(conn *pgconn.PgConn) error {
		_, err := query(ctx, conn, `select pg_drop_replication_slot(slot_name) from pg_replication_slots
			where slot_type = 'physical' and not active and restart_lsn is not null and `+ofMembers)
		if err != nil {
			return fmt.Errorf("drop the slots of %s: %w", s.c.Name, plain(err))
		}
		return keepSlots(ctx, conn, slices.Sorted(maps.Keys(s.c.Members)))
	})
}

// inquiry is what was learned of the member that a standby should stream from.
type inquiry struct {
	of      string
	next    time.Time
	running bool
	parted  bool
}

const inquireEach = 500 * time.Millisecond
