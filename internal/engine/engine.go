// Package engine is the contract with a kind of data store: SQLite, PostgreSQL, and others to come. Its suite is
// engine/enginetest.
//
// An Engine only has a kind; what else it can do is found by assertion, as in io/fs: Protector, Restorer, Launcher,
// Starter, Condenser, Resolver. Engines never see a repository, a key or a store: they are handed sinks to write to and
// readers to read from.
package engine

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Engine speaks for one kind of source.
type Engine interface {
	// Kind is the scheme of the engine's URLs: "sqlite", "postgres".
	Kind() string
}

// Protector can take bases of a source and follow its log.
type Protector interface {
	Engine
	// Connect checks that the source is there, is of this kind and may be read, and returns it ready for use. It
	// changes nothing at the source. Errors say in plain words what is missing, with a Hint method where a command
	// or a setting helps.
	Connect(ctx context.Context, url string, o Options) (Source, error)
}

// Options are what a Source needs besides its URL.
type Options struct {
	Name     string           // of the source
	StateDir string           // a folder of its own that survives restarts; "" means none may be kept
	Log      *slog.Logger     // never nil
	Now      func() time.Time // the clock that commits are stamped with; never nil
	Awaits   int              // in how many repositories a piece is when ship returns; zero: on this host, which is all that is sure

	// Confirmed is up to where the source was told that its log is safe, as far as this host knows: for a source that
	// does not say itself how much log it keeps for us. nil, or zero: not known.
	Confirmed func() history.Position
}

// Source is one protected thing. TakeBase may be called while Follow runs, from another goroutine; there is at most
// one Follow and one TakeBase at a time.
type Source interface {
	// Identify says what is behind the URL now.
	Identify(ctx context.Context) (Identity, error)

	// TakeBase copies the source consistently into sink. If the log is not being followed it also pins the log, so
	// that a Follow from the returned bookmark on this Source, begun before Close, has no gap. If sink or ctx fails
	// the source is as before.
	TakeBase(ctx context.Context, o BaseOptions, sink BaseSink) (BaseResult, error)

	// Follow gives everything after from to ship, in order and without a gap, until ctx ends (it then returns
	// ctx's error), ship fails (it returns that error), or the log cannot be continued (*history.GapError: a new
	// base is needed). The server is told that a piece is safe only after ship returned nil. The pieces and their
	// data are valid until ship returns. When Follow has returned it holds back neither log nor locks at the
	// source beyond what Keeps promises.
	Follow(ctx context.Context, from Bookmark, ship Ship) error

	// Status says how the source is doing; it is called about once a second and must be cheap.
	Status() Status

	// Close releases everything. What stays behind at the source on purpose (a slot) is told by Remains.
	Close() error
}

// Ship takes consecutive pieces. It returns nil when they are durable where the source's ack demands it.
type Ship func(ctx context.Context, pieces []Piece) error

// Identity is what stands behind a URL.
type Identity struct {
	SystemID string           // differs for servers or files that share no history; "" where the engine cannot know
	Version  string           // of the server or library, for people
	Bytes    int64            // size of the data, about
	Mode     string           // how it is captured, for people: "wal", "rollback journal", "stream"
	Files    []string         // the files of the source on this host, if any
	Advice   []Advice         // what should be changed at the source
	Position history.Position // where it stands; zero where only following tells
}

// Advice is one thing to tell the person who runs the source.
type Advice struct {
	Severity string `json:"severity"` // "info", "warning"
	Text     string `json:"text"`
	Do       string `json:"do,omitempty"` // the command or SQL that helps
}

// BaseOptions say how to take a base.
type BaseOptions struct {
	Type history.BaseType // Full where the zero value is given

	// After is the last position known of this source, zero for a new one. If NewTimeline is set the log broke
	// after it: the base opens the timeline After.Timeline+1. Sequences go on rising in any case.
	After       history.Position
	NewTimeline bool

	// Begun, if set, is called as soon as the log that the base needs is pinned and it is known where that begins: from then on Follow may
	// go on from there beside the base. An error of it ends the base. A source that knows only at the end does not call it.
	Begun func(Begun) error
}

// Begun is what is known of a base that has begun.
type Begun struct {
	Bookmark Bookmark         // where Follow goes on, as BaseResult will have it
	Stands   history.Position // of the source
}

// BaseResult is what a base turned out to be.
type BaseResult struct {
	Base     history.Base // ID, Parent and StoredBytes are left to the repository
	Bookmark Bookmark     // where Follow goes on

	// Damage names, a line each, what was found damaged at the source while it was read: the base holds it as it is.
	// Base.DamagedPages counts it.
	Damage []string
}

// Bookmark is where a Follow goes on. Token is the engine's own and means nothing to others; it is kept with the
// position, durably, and given back after a restart. An empty token asks to go on from Position alone, which
// engines that cannot answer with *history.GapError.
type Bookmark struct {
	Position history.Position `json:"position"`
	Token    []byte           `json:"token,omitempty"`
	Time     time.Time        `json:"time"` // up to when the log is known to be whole
}

// Piece is a stretch of log: Data, which belongs at Offset of the log file named File. A piece without data moves
// only Until: nothing was committed meanwhile. From of a piece equals To of the piece before it.
type Piece struct {
	From, To     history.Position
	Since, Until time.Time // all that was committed in (Since, Until] is in here
	File         string    // a file of the engine's own log format: "000000010000000000000003", "0000000000000001-0000000000000001.ltx"
	Offset       int64     // of Data in File
	Complete     bool      // File ends with this piece
	Data         []byte
	Marks        []history.Mark
	Token        []byte // of the bookmark after this piece

	// Fork, if set, says that the source has gone on to another timeline: this piece and those after it lie on
	// Fork.Child, and From is Fork.At on that timeline. Fork.At may lie before the To of the piece before: what
	// follows it on the parent was left behind by the source and stays recoverable by position. Since is then a moment
	// before the first commit on the child, and may lie before the Until of the piece before.
	Fork *history.Fork
}

// Status is how a source is doing.
type Status struct {
	Position   history.Position // the newest position captured and shipped
	Time       time.Time        // when it was committed
	Behind     int64            // bytes of log that exist at the source and are not shipped yet
	Since      time.Time        // since when there are such bytes; zero if there are none
	HeldBytes  int64            // log that the source keeps only because of us
	HeldRoom   int64            // how much more of it fits on the source's disk; zero: nobody here knows
	HoldsUp    time.Duration    // how long the last look held writers up; zero where none is
	Text       string           // one line for people, "" if all is well
	LastError  error
	LastErrorT time.Time
}

// BaseSink takes the files of a base. Its methods are called from one goroutine at a time.
type BaseSink interface {
	// Put stores one file, folder or link. r gives f.Size bytes for regular files and is nil for others. If r is an
	// io.ReaderAt, the sink may read it in parallel, in large blocks, at offsets and into buffers aligned to 4096
	// bytes. A reader that ends early is padded with zeros and the manifest says so.
	Put(ctx context.Context, f File, r io.Reader) error
}

// File is one entry of a base.
type File struct {
	Name    string // slash-separated, relative
	Mode    fs.FileMode
	Size    int64
	ModTime time.Time
	Link    string // target of a symbolic link
}

// Remainer is implemented by sources that leave something behind at the source when Backstay stops, such as a slot.
type Remainer interface {
	// Remains says in one line what stays, "" for nothing.
	Remains() string
	// Remove drops it, for good.
	Remove(ctx context.Context) error
}

// Adviser is implemented by sources whose advice changes with what is set at the source while it is followed.
type Adviser interface {
	// Advise says what should be changed at the source now. It is called about twice a minute, while Follow and TakeBase run, and must be
	// cheap for the source.
	Advise(ctx context.Context) ([]Advice, error)
}

// Lasting is implemented by sources whose bases need nothing of what Follow has: a TakeBase goes on when Follow has ended, and while another
// Source of the same thing is followed. Such a source is closed when its base has ended.
type Lasting interface {
	Source
	Lasts()
}

// Leaver is implemented by engines whose sources are Remainers, for a source that cannot be asked.
type Leaver interface {
	Engine
	// Leaves lists the commands with which a person removes, at a source of that name, what may have been left there.
	// systemID is Identity's, "" where it is not known.
	Leaves(name, systemID string) []string
}

// Awaited is implemented by sources that can be made to have their commits wait for us.
type Awaited interface {
	// Awaits says that commits wait while nothing follows the source, and what ends that; the zero value if they do not.
	Awaits(ctx context.Context) (Advice, error)
}

// Restorer can bring a laid base to a position.
type Restorer interface {
	Engine
	// Replay brings the base laid in dir to the target with log. It starts no server for longer than it needs one.
	Replay(ctx context.Context, dir string, log Log, to Goal) (Reached, error)
}

// Preflighter is implemented by restorers that can tell from a few small files of a base whether it could be recovered
// on this host, so that it need not be laid first.
type Preflighter interface {
	Restorer
	// Needs names the files, as in the base; one that the base does not have is left out.
	Needs() []string
	// Preflight is called with the folder that Replay will be given, in which only those files lie. It returns what
	// would keep Replay from recovering it here.
	Preflight(ctx context.Context, dir string) error
}

// Goal is where Replay stops: at Position if that is set, else at Time if that is set (every commit stamped up to
// it, none after), else at the end of the log.
type Goal struct {
	Position history.Position
	Time     time.Time
	Taken    uint32                  // timelines up to it are known of the source: one that is begun must lie above
	Progress func(done, total int64) // bytes of log; may be nil
}

// Placer is implemented by restorers that can be told how to restore.
type Placer interface {
	Restorer
	// Place returns a restorer that follows p, or an error for what it cannot do.
	Place(p Placement) (Restorer, error)
}

// Placement says how restored data is laid out and what it is left as.
type Placement struct {
	Tablespaces map[string]string // from where a tablespace was, or its number, to an empty or new folder
	Standby     bool              // leave a standby that has replayed up to the goal, instead of a primary
}

// Settler is implemented by restorers that have something to do once the data stands in its final folder, such as
// links that hold an absolute path.
type Settler interface {
	// Settle is called with the final folder, before the restore is reported as done.
	Settle(ctx context.Context, dir string) error
}

// Abandoner is implemented by restorers that hold something outside of the folder until Settle.
type Abandoner interface {
	// Abandon is called instead of Settle, or after it has failed, when nothing becomes of the restore. It leaves things
	// outside as they were.
	Abandon() error
}

// Reached is where Replay stopped, as the engine itself says, and what proves it later.
type Reached struct {
	Position history.Position `json:"position"`
	Time     time.Time        `json:"time"`             // of the last commit replayed; the base's if there was none
	Digest   string           `json:"digest,omitempty"` // the engine's digest over the whole data at Position, from the log itself; "" if it has none
	Files    []string         `json:"files,omitempty"`  // what a person opens, relative to dir
	Notes    []string         `json:"notes,omitempty"`  // what a person should know before it is used, a sentence each
	Next     string           `json:"-"`                // what a person does next, in one line: "start it with: …"
}

// Log is what Replay reads: the segments of a chain, in order.
type Log interface {
	Segments() []history.Segment
	Open(ctx context.Context, i int) (LogSegment, error)
}

// LogSegment is one opened segment.
type LogSegment interface {
	// Entries lists the log files in the segment in order. Condensed entries stand beside the files they replace.
	Entries() []LogEntry
	// Read gives the bytes of one entry. Entries may be read in any order and from several goroutines.
	Read(ctx context.Context, e LogEntry) (io.ReadCloser, error)
	// Marks gives the commits in the segment in order.
	Marks(ctx context.Context) iter.Seq2[history.Mark, error]
	Close() error
}

// LogEntry is one log file, or a part of one, in a segment.
type LogEntry struct {
	File      string
	Offset    int64 // where it belongs in File
	Size      int64
	Condensed bool // made by a Condenser: it alone brings the data from the segment's From to its To
}

// Condenser can make, from the log files of one segment, one file that has the same effect as all of them together
// and is smaller: for page logs, the last version of each page.
type Condenser interface {
	Engine
	// Condense writes it to w and returns its name, or "" if there would be no gain. files are complete log files in
	// order; it may read them more than once.
	Condense(ctx context.Context, files []CondenseFile, w io.Writer) (name string, err error)
}

// CondenseFile is one complete log file.
type CondenseFile struct {
	Name string
	Open func() (io.ReadCloser, error)
}

// Resolver turns the engine's own targets into positions.
type Resolver interface {
	Engine
	// Resolve turns key:value into a target of kind AtPosition or AtTime, or, where that takes a look at the log, into
	// one of kind Custom with the value as marks carry it. ok is false for a key that the engine does
	// not know; err is for a value that it cannot read. Positions whose timeline is not known have timeline zero.
	Resolve(t history.Target) (r history.Target, ok bool, err error)
	// Targets lists the keys, for help texts: "txid", "before-txid".
	Targets() []string
}

// Launcher can start a real server on restored data.
type Launcher interface {
	Engine
	// Launch starts a private server on dir, reachable from this host only, without touching anything outside dir.
	Launch(ctx context.Context, dir string, r Reached) (Server, error)
}

// Starter can leave a server running on restored data.
type Starter interface {
	Engine
	// Start starts a private server on dir, reachable from this host only, that goes on when this process ends.
	Start(ctx context.Context, dir string) (Running, error)
}

// Running is a server that was left running.
type Running struct {
	DSN  string // how a client reaches it
	Stop string // the command that ends it
	Log  string // the file that it logs to
}

// Clocked is implemented by engines that can say whose clock stamps their commits.
type Clocked interface {
	Engine
	// Clock says it in a few words: "the server's, when it committed".
	Clock() string
}

// Server is a server that was launched on restored data.
type Server interface {
	// DSN is how a client reaches it.
	DSN() string
	// Verify asks the server: is the data structurally sound, does it stand exactly where Reached says. Every check
	// that was made is returned; a check that found damage has OK false. err is for a broken environment.
	Verify(ctx context.Context) ([]Check, error)
	// Stop ends it and leaves the data clean.
	Stop(ctx context.Context) error
}

// Check is one question asked of a restored server and its answer.
type Check struct {
	Name    string  `json:"name"` // "integrity_check", "page checksum"
	OK      bool    `json:"ok"`
	Detail  string  `json:"detail"`
	Seconds float64 `json:"seconds"`
}
