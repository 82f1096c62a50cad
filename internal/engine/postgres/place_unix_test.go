//go:build unix

package postgres

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestRoomOfTheServersLogIsSeen asks with a role that may know where the data lies, and with one that may not.
func TestRoomOfTheServersLogIsSeen(t *testing.T) {
	c := pgtest.New(t, pgtest.Options{})
	for role, want := range map[string]string{pgtest.Admin: filepath.Join(c.Dir, "pg_wal"), pgtest.Backup: ""} {
		got, err := Engine{}.Connect(t.Context(), c.SocketURL(role), engine.Options{Name: "shop", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s := got.(*Source)
		if s.logDir != want {
			t.Errorf("%s: %q, want %q", role, s.logDir, want)
		}
		if room := s.Status().HeldRoom; room != 0 {
			t.Errorf("%s: %d bytes of room while nothing is held", role, room)
		}
		s.enter(position(1, 1<<20), 1<<30)
		if room := s.Status().HeldRoom; (room > 0) != (want != "") {
			t.Errorf("%s: %d bytes of room", role, room)
		}
	}
}
