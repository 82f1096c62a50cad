package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// slotName is the name of our slot: backstay_, the source's name as far as it can be written there, and six digits
// that stand for the cluster and the whole name. It can always be found again, so that the loss of this host's files
// leaves no slot behind that nobody knows and that holds log back for ever.
func slotName(source, system string) string {
	sum := sha256.Sum256([]byte(system + "\x00" + source))
	return fmt.Sprintf("%s%x", slotPrefix(source), sum[:3])
}

// slotPrefix is what our slots for a source of that name begin with, at whatever cluster.
func slotPrefix(source string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, source)
	return "backstay_" + clean[:min(len(clean), 40)] + "_"
}

// slotState is what the server says of our slot.
type slotState struct {
	exists  bool
	lost    bool    // it holds nothing back any more
	restart wal.LSN // everything from here on is held back
	unknown bool    // the server cannot be asked over this connection: the slot may be there
}

// readSlot asks for our slot. Servers before 15 tell it over a connection to a database only.
func (s *Source) readSlot(ctx context.Context, conn *replication.Conn) (slotState, error) {
	if conn.Version() < 15 {
		return s.querySlot(ctx)
	}
	restart, err := conn.ReadSlot(ctx, s.slot)
	switch {
	case errors.Is(err, replication.ErrNoSlot):
		return slotState{}, nil
	case err != nil:
		return slotState{}, fmt.Errorf("read replication slot %s: %w", s.slot, err)
	}
	return slotState{exists: true, lost: restart == 0, restart: restart}, nil
}

func (s *Source) querySlot(ctx context.Context) (slotState, error) {
	conn, err := s.sql(ctx)
	if err != nil {
		s.options.Log.DebugContext(ctx, "the slot cannot be looked at", "source", s.options.Name, "err", err)
		return slotState{unknown: true}, ctx.Err()
	}
	defer closeSoon(conn.Close)
	rows, err := queryRows(ctx, conn, "SELECT restart_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", s.slot)
	if err != nil || len(rows) == 0 {
		return slotState{}, err
	}
	if rows[0][0] == "" {
		return slotState{exists: true, lost: true}, nil
	}
	restart, err := wal.ParseLSN(rows[0][0])
	return slotState{exists: true, restart: restart}, err
}

// ensureSlot sees to it that the server holds the log back for us from now on: for the first base, and again where the
// slot was lost or another server took the place of the one that had it.
func (s *Source) ensureSlot(ctx context.Context, conn *replication.Conn) error {
	state, err := s.readSlot(ctx, conn)
	if err != nil {
		return err
	}
	if state.lost {
		s.options.Log.WarnContext(ctx, "the replication slot was invalidated; making it anew", "source", s.options.Name, "slot", s.slot)
		if err := s.dropSlot(ctx, conn); err != nil {
			return err
		}
		state.exists = false
	}
	if !state.exists {
		err := conn.CreateSlot(ctx, s.slot)
		if err != nil && code(err) != alreadyThere {
			return s.explain(ctx, "create replication slot "+s.slot, err)
		}
		if err == nil {
			s.count(func(n *Counters) { n.Slots++ })
			s.options.Log.InfoContext(ctx, "made a replication slot", "source", s.options.Name, "slot", s.slot)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slotMade, s.slotMay = true, false
	return nil
}

// dropSlot drops our slot, if there is one, so that the next look makes it anew:
//
//   - when a base begins a line. Nothing before it is needed; and while log was asked for that the server had removed, our
//     confirmations may have put the slot back to there, so that its next checkpoint would invalidate it;
//   - when the server refuses to stream from it although it tells where it begins: from 18 on one that was idle for too
//     long.
func (s *Source) dropSlot(ctx context.Context, conn *replication.Conn) error {
	for tries := 0; ; tries++ {
		err := conn.DropSlot(ctx, s.slot)
		switch {
		case err == nil || code(err) == undefinedObject:
			return nil
		case code(err) != inUse || tries == slotTries:
			return s.explain(ctx, "drop replication slot "+s.slot, err)
		}
		if err := backoff.Sleep(ctx, slotPause); err != nil {
			return err
		}
	}
}

// Remains is engine.Remainer's.
func (s *Source) Remains() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	may := ""
	switch {
	case s.slotMay:
		may = ", if it is there: the role may not look,"
	case !s.slotMade:
		return ""
	}
	text := fmt.Sprintf("replication slot %s%s stays at %s and keeps the server's log (pg_wal) from being removed until Backstay runs again or the source is unprotected", s.slot, may, s.where())
	if waits := s.withoutUs(); waits != "" {
		text += "; " + waits
	}
	return text
}

// Remove drops the slot. It is no error if there is none.
func (s *Source) Remove(ctx context.Context) error {
	conn, err := s.replication(ctx)
	if err != nil {
		return err
	}
	defer closeSoon(conn.Close)
	if err := s.dropSlot(ctx, conn); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slotMade, s.slotMay, s.status.HeldBytes = false, false, 0
	return nil
}

// Leaves is engine.Leaver's.
func (Engine) Leaves(name, systemID string) []string {
	drop := fmt.Sprintf("SELECT pg_drop_replication_slot('%s');", slotName(name, systemID))
	if systemID == "" {
		drop = fmt.Sprintf("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ '^%s[0-9a-f]{6}$';", slotPrefix(name))
	}
	return []string{drop + " (until then the slot, if it is there, keeps the server's log)",
		"ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf(); (if it names Backstay: until then commits wait)"}
}
