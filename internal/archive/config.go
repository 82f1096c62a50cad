package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/repository"
)

// Ack says when a piece of log counts as safe, so that the source may be told.
type Ack string

// The places where a piece must be durable.
const (
	AckSpool      Ack = "spool"      // on this host
	AckRepository Ack = "repository" // in Config.Copies repositories too
)

// Config says what is protected, and where to.
type Config struct {
	Source  string                                       // its name
	Connect func(context.Context) (engine.Source, error) // called again after the source was lost
	Engine  engine.Engine                                // asked whether it is a Condenser; may be nil
	Repos   []Repo                                       // at least one
	Dir     string                                       // of the spool; made if it is not there

	MaxSpool     int64         // bytes, sealed segments that wait included; zero means 1 GiB
	MaxHeld      int64         // bytes of log that the source may keep for us while it is not followed; zero means 16 GiB
	SegmentBytes int64         // raw bytes of a full segment; zero means 64 MiB, never more than a quarter of MaxSpool
	SegmentAge   time.Duration // a segment is cut when its oldest piece is older; zero means 1 h
	Ack          Ack           // "" means AckSpool
	Copies       int           // in how many repositories a piece must be for AckRepository; less than 1 means 1
	Flush        time.Duration // how long Run goes on shipping after its context ended; zero means 5 s
	Retry        backoff.Policy

	Log    *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // the clock of the engine's stamps; nil: time.Now
	Events func(Event)      // told of everything noteworthy, on any goroutine; must not block; may be nil

	// Own stands around the taking of a base that nobody asked for: the first one, one after a gap, one that a repository lacks. It calls
	// take once and returns its error. nil: nothing does.
	Own func(ctx context.Context, take func(context.Context) error) error

	sync func(*os.File) error // makes a file of the spool durable; set by tests
}

// Repo is one repository of the source.
type Repo struct {
	Name        string
	Open        func(context.Context) (*repository.Repository, error) // called until it succeeds: the store may be dead at start
	TipInterval time.Duration                                         // how soon new log is shipped; zero asks the store
	Heartbeat   time.Duration                                         // how often "nothing new" is said; zero means 30 s for local stores, else 60 s
}

func (c *Config) validate() error {
	if c.Source == "" || c.Connect == nil || c.Dir == "" || len(c.Repos) == 0 {
		return errors.New("protect source: it needs a name, a way to connect, a spool and a repository")
	}
	if c.Copies > len(c.Repos) {
		return fmt.Errorf("protect source: it is to be durable in %d repositories and goes to %d", c.Copies, len(c.Repos))
	}
	switch c.Ack {
	case "":
		c.Ack = AckSpool
	case AckSpool, AckRepository:
	default:
		return errors.New("protect source: ack is spool or repository, not " + string(c.Ack))
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.MaxHeld <= 0 {
		c.MaxHeld = 16 << 30
	}
	if c.MaxSpool <= 0 {
		c.MaxSpool = 1 << 30
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 64 << 20
	}
	c.SegmentBytes = min(c.SegmentBytes, c.MaxSpool/4)
	if c.SegmentAge <= 0 {
		c.SegmentAge = time.Hour
	}
	if c.Flush <= 0 {
		c.Flush = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Events == nil {
		c.Events = func(Event) {}
	}
}

// delay is how long to wait after failed attempt number attempt.
func (c *Config) delay(attempt int) time.Duration { return c.Retry.Delay(attempt, rand.Float64) }
