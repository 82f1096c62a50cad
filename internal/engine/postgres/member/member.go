// Package member does to a PostgreSQL server of a cluster what its agent is told: it is an agent.Server.
//
// What it keeps to:
//
//   - The server is a process of its own. The end of this one, of whatever kind, does not touch it, and the next finds it by its postmaster.pid.
//   - standby.signal lies in the data directory, also while the server is primary: whoever starts it, after whatever end, starts a
//     standby. Only Start(Primary) takes the file away, for as long as the start takes. (Base backups of Backstay leave the file out.)
//   - What it sets, it sets with ALTER SYSTEM, or in the same file while the server does not run: primary_conninfo, primary_slot_name,
//     synchronous_standby_names, restart_after_crash, and for standbys recovery_target_timeline, wal_receiver_status_interval and restore_command.
//   - The end of a log is told with the timeline that its last record is of: a log that has a timeline's history, and nothing of
//     that timeline, ends on the one before.
//
// It connects as a superuser, through the server's socket.
package member

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/history"
)

// Config is one member's server.
type Config struct {
	Cluster string // whose sessions the agent's are; "": they don't say
	Name    string // of the member: standbys call themselves so, and quorums name them so
	Dir     string // the data directory
	URL     string // how a superuser reaches the server on this host: postgres://postgres@/postgres?host=/run/postgresql&port=5432

	// Members is how this server streams from each of the others, and rewinds from it: "host=… port=… user=… passfile=… sslmode=…".
	Members map[string]string

	// Known are all members of the file, receivers too: slots that are kept for others are dropped by Tend. Empty: none is.
	Known []string

	Programs  server.Programs // zero: those of the data's version that are found
	Arguments []string        // of postgres, beside -D; nil: those that it was last started with
	Log       string          // file that takes what the server says before it has a log of its own; empty: one in Aside
	Aside     string          // folder of ours for what a rewind would discard, and for marks; not inside Dir
	Restore   string          // restore_command for standbys and rewinds; empty: none
	Lender    Lender          // of log that no server has; nil: nobody
	Recloner  Recloner        // where a rewind is not possible; nil: pg_basebackup from the primary

	Said func(text string) // what people should know; nil: nobody

	// Saved hears of log that no other member has, before it is discarded: dir has a copy of it. from is where it parted, with a Seq of zero where
	// that is not known. It returns when that is recorded; nil: nobody is told.
	Saved func(from, to history.Position, dir string)
}

// Recloner fills an empty data directory.
type Recloner interface {
	// Reclone puts a base into dir, which is there and empty, and its log, so that a server which is started there as a standby of a member on
	// timeline comes to be whole. Files belong to the directory's owner. It leaves an empty folder where it fails.
	Reclone(ctx context.Context, dir string, timeline uint32) error
}

// Server is one member's server. New makes it. See agent.Server.
type Server struct {
	c    Config
	user server.User
	conf *pgconn.Config
	disk *disk

	acting sync.Mutex // what changes the server, one at a time; Stop takes no part in it

	look chan struct{}  // holds one: the kept session is used by one at a time
	kept *pgconn.PgConn // has what prepared; nil: it has ended, or was not made yet
	scan chan struct{}  // holds one: the log on the disk is read by one at a time

	mu      sync.Mutex
	fresh   pulse               // of new sessions
	ends    ending              // of the log of a server that does not run
	asked   inquiry             // of the member that it should follow
	replies map[string]lastWord // of standbys
	pid     int                 // of the process whose arguments are kept
	busy    sync.WaitGroup      // goroutines
	ctx     context.Context
	cancel  context.CancelFunc
}

var _ agent.Server = (*Server)(nil)

// New starts nothing but a probe of the disk. Whoever makes a Server closes it.
func New(c Config) (*Server, error) {
	conf, err := pgconn.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("read the URL of %s: it is not one of PostgreSQL", c.Name) // the cause may show a password
	}
	conf.RuntimeParams["application_name"] = strings.TrimSpace(fmt.Sprintf("backstay agent %.30s", c.Cluster)) // a check sees whose it is
	conf.RuntimeParams["synchronous_commit"] = "local"                                                         // ours waits for nobody
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	user, err := server.Owner(c.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Aside, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of %s: %w", c.Name, err)
	}
	if c.Log == "" {
		c.Log = filepath.Join(c.Aside, "server.log")
	}
	s := &Server{c: c, user: user, conf: conf, look: make(chan struct{}, 1), scan: make(chan struct{}, 1), replies: map[string]lastWord{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.disk = watchDisk(c.Dir)
	return s, nil
}

// Close ends what watches the server, not the server.
func (s *Server) Close() {
	s.cancel()
	s.busy.Wait()
	s.disk.close()
	s.look <- struct{}{}
	s.drop()
	<-s.look
}

func (s *Server) path(name ...string) string {
	return filepath.Join(append([]string{s.c.Dir}, name...)...)
}

func (s *Server) say(format string, args ...any) {
	if s.c.Said != nil {
		s.c.Said(fmt.Sprintf(format, args...))
	}
}

// programs are those of the data's version, which only data that is there tells.
func (s *Server) programs() (server.Programs, error) {
	if s.c.Programs.Dir != "" {
		return s.c.Programs, nil
	}
	b, err := os.ReadFile(s.path("PG_VERSION"))
	if err != nil {
		return server.Programs{}, fmt.Errorf("read the version of the data of %s: %w", s.c.Name, err)
	}
	var major int
	if _, err := fmt.Sscanf(string(b), "%d", &major); err != nil {
		return server.Programs{}, fmt.Errorf("read the version of the data of %s: %w", s.c.Name, err)
	}
	return server.Find(major)
}

// settle is how long a change of a running server's settings may take to reach its processes.
const settle = 5 * time.Second
