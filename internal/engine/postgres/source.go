package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/jackc/pgx/v5/pgconn"
)

// Source is one PostgreSQL cluster, reached through one URL: after a failover perhaps another server of it.
type Source struct {
	url     string
	config  *pgconn.Config // of url, when we connected
	options engine.Options

	// Of the cluster; from Connect on they do not change.
	system      string // its identifier
	segmentSize uint64 // of its log files, in bytes
	version     int    // major, when we connected
	slot        string // name of ours

	logDir   string // where its log lies, if that is on this host and known; "" else
	receiver string // what a stream calls itself where it is one of those a commit may wait for; "": as all connections do
	lead     *Lead  // hears of each word of the server; nil: nobody does

	lookPause time.Duration // before log that could not be read is asked for again, for the first time

	mu       sync.Mutex // guards what follows
	slotMade bool       // the slot is there, as far as is known
	slotMay  bool       // it is not known whether the slot is there, and so it may be
	demand   string     // synchronous_standby_names where commits wait for us by it, as last seen; "" else
	status   engine.Status
	shipped  wal.LSN // of Follow
	end      wal.LSN // where the server's log ends, as it last said
	counters Counters
	shut     bool // the role may not connect to a database, as of when that was last tried
}

// Counters tell which paths ran; tests assert on them.
type Counters struct {
	Connected int64 // streams that were begun
	Shipped   int64 // calls of ship with data
	Parts     int64 // pieces that end inside of a record
	Forks     int64 // timelines that were entered
	Blocked   int64 // times that the server had to wait because too much was not shipped yet
	Slots     int64 // slots that were made
	Again     int64 // times that log was asked for again because it could not be read

	FileBases   int64 // bases that were taken by reading files
	StreamBases int64 // bases that the server sent

	ReplicaBases int64 // bases of a group that were taken from a replica
}

// Counters tells which paths ran since Connect.
func (s *Source) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters
}

func (s *Source) count(add func(*Counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.counters)
}

// Close releases nothing, as connections live no longer than the calls that need them. The slot stays.
func (s *Source) Close() error { return nil }

// Lasts is engine.Lasting's: a base has connections of its own.
func (s *Source) Lasts() {}

// closeTimeout is how long the goodbye to a server may take.
const closeTimeout = 2 * time.Second

// closeSoon ends a connection whose context may have ended.
func closeSoon(end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = end(ctx) // what was done over the connection is done; that it ends is all that is wanted
}
