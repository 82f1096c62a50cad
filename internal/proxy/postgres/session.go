package postgres

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// mode is what a session does.
//
//	running ──▶ asking ──▶ known ──▶ away ──▶ running
//	   ▲                     │
//	   └─────────────────────┘ the client goes on, or nothing changes
type mode uint8

const (
	running mode = iota // bytes may pass, as far as the route allows
	asking              // it is being asked what it holds
	known               // it was asked, and nothing has passed since
	away                // it has no server, and waits for one
	gone                // it is over
)

// session is a client with its place at a server.
type session struct {
	carrier    *Carrier
	client     net.Conn
	out        *proxy.Writer // to client; guarded by writing
	parameters parameters
	login      credential
	movable    bool    // its login can be repeated
	key        [8]byte // by which the client cancels

	writing sync.Mutex // of whoever writes to the client
	broken  bool       // a message to the client was cut; guarded by writing
	told    bool       // the client was told that the session ends; guarded by writing

	mu     sync.Mutex
	mode   mode
	busy   bool          // something is open at the server
	since  time.Duration // when it began, on the running clock
	track  tracker
	back   *backend // nil while away
	ahead  *backend // logged in at the member that comes next
	target string   // address at which a login ahead was tried; "" while no change is planned
	going  bool     // someone logs in for it
	answer []byte   // to the question what it holds
	asks   int      // counts the questions
	asker  string   // text of the question that stands prepared at the server; "" if none does
	stood  bool     // the one under way stood prepared before
	holds  holdings
	used   bool // something passed since the last look of linger
	wake   chan struct{}
}

// backend is a connection to a server, logged in.
type backend struct {
	conn     net.Conn
	out      *proxy.Writer // of what the client sends; set when it is installed
	to       proxy.Upstream
	at       *proxy.Attachment // nil for a replica, and for a login ahead
	greeting *greeting
	made     int         // which of the session's answers was made there; zero: nothing
	left     atomic.Bool // the session has left it, and somebody closes it
}

// close ends the connection at once: nothing is read from it or written to it any more. It does not wait, as who reads it
// may be the caller, or wait for the caller's lock, and a connection is closed only when its readers have left it.
func (b *backend) close() {
	_ = b.conn.SetDeadline(time.Unix(1, 0))
	go proxy.Reset(b.conn)
}

// lingering is how long a connection that an idle session has left stays open. While the primary changes its server most often ends meanwhile, and
// fifty processes that end with it cost a third less than fifty that each end by themselves, while all wait for that.
const lingering = 250 * time.Millisecond

// leave ends the use of the connection as close does: nothing passes any more. The server learns of it a moment later.
func (b *backend) leave() {
	b.left.Store(true)
	_ = b.conn.SetDeadline(time.Unix(1, 0))
	time.AfterFunc(lingering, func() { proxy.Reset(b.conn) })
}

func (b *backend) epoch() uint64 {
	if b.at == nil {
		return 0
	}
	return b.at.Epoch()
}

// where is the server that the session is at, and its key there.
func (s *session) where() (address string, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.back == nil {
		return "", nil
	}
	return s.back.to.Address, s.back.greeting.key
}

// install makes b the session's server, from a login that was made now.
func (s *session) install(b *backend) {
	b.out = proxy.NewWriter(b.conn)
	s.back = b
	s.mode, s.asker = running, ""
	s.track.status = 'I'
	s.track.down = walker{}
}

// run carries the session until it ends.
func (s *session) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { s.sever("57P01", "the proxy is shutting down") })()
	defer s.carrier.forget(s)
	defer s.end()
	s.mu.Lock()
	if b := s.back; b != nil {
		go s.fromServer(b)
	}
	s.mu.Unlock()
	s.routed() // what happened while it logged in
	s.fromClient()
}

// fromClient carries what the client sends, until it goes or the session is over.
func (s *session) fromClient() {
	_ = proxy.NewReader(s.client).Each(func(b []byte) bool { return s.forward(b) == nil }) // whatever ends it, the session is over
	s.mu.Lock()
	over := s.mode == gone
	s.mu.Unlock()
	if over {
		s.drain()
	}
}

var errOver = errors.New("the session is over")

// forward brings what the client sent to the server, when it may.
func (s *session) forward(b []byte) error {
	s.mu.Lock()
	for !s.may() {
		if s.mode == gone {
			s.mu.Unlock()
			return errOver
		}
		if b[0] == 'X' {
			s.mu.Unlock()
			return errOver
		}
		s.mu.Unlock()
		if err := s.hold(); err != nil {
			return err
		}
		s.mu.Lock()
	}
	s.used = true
	if err := s.track.client(b); err != nil {
		s.mu.Unlock()
		s.sever("08P01", "a message is not as the protocol has it")
		return err
	}
	to, bye := s.back, s.track.bye
	s.mu.Unlock()
	_, err := to.out.Write(b)
	s.carrier.listener.Up.Add(int64(len(b)))
	if bye {
		return errOver
	}
	if err != nil {
		s.lostServer(to)
		return errOver
	}
	return nil
}

// may says whether bytes of the client may pass now, and notes that something is open if so.
func (s *session) may() bool {
	if s.mode != running && s.mode != known {
		return false
	}
	if !s.back.to.Primary {
		if s.busy {
			return true
		}
		s.busy = s.carrier.listener.Keeps(s.back.to, 0, s.carrier.listener.Table.View())
		if s.busy {
			s.mode = running
		}
		return s.busy
	}
	table := s.carrier.listener.Table
	if s.busy {
		v := table.View()
		return v.Epoch == s.back.epoch() && v.Open() != route.Closed
	}
	table.Begin()
	s.since = proxy.Running()
	if v := table.View(); v.Open() != route.Serving || !s.carrier.listener.Keeps(s.back.to, s.back.epoch(), v) {
		table.End()
		return false
	}
	s.busy, s.mode = true, running
	return true
}

// quiet notes that nothing is open any more.
func (s *session) quiet() {
	if s.busy {
		s.busy = false
		if s.back != nil && s.back.to.Primary {
			s.carrier.listener.Table.End()
		}
	}
}

// hold waits for a change, and ends the session when there was none for too long.
func (s *session) hold() error {
	l := s.carrier.listener
	done, err := l.Hold()
	if err != nil {
		s.sever("08006", err.Error())
		return err
	}
	defer done()
	limit := time.NewTimer(l.Wait)
	defer limit.Stop()
	for {
		s.mu.Lock()
		may := s.mode == gone || s.may()
		s.mu.Unlock()
		if may {
			return nil
		}
		s.seek()
		select {
		case <-s.wake:
		case <-limit.C:
			l.Expired.Add(1)
			s.sever("08006", proxy.ErrNoPrimary.Error())
			return proxy.ErrNoPrimary
		}
	}
}

// tried is how long the oldest thing that the primary was asked waits for an answer.
func (s *session) tried(now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == gone || s.back == nil || !s.back.to.Primary || s.track.pending == 0 && s.mode != asking {
		return 0
	}
	return max(now-s.since, 1)
}

func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// fromServer carries what b sends, until it goes or is replaced. The attachment ends with it: what b sent before is
// with the client, or dropped.
func (s *session) fromServer(b *backend) {
	defer func() {
		if !b.left.Load() {
			_ = b.conn.Close()
		}
		if b.at != nil {
			b.at.Detach()
		}
	}()
	if rest := b.greeting.rest; len(rest) > 0 && !s.deliver(b, rest) {
		return
	}
	err := proxy.NewReader(b.conn).Each(func(bytes []byte) bool { return s.deliver(b, bytes) })
	if err != nil {
		s.lostServer(b)
	}
}

// deliver brings what b sent to the client. It is false when b is the session's server no more.
func (s *session) deliver(b *backend, bytes []byte) bool {
	l := s.carrier.listener
	s.mu.Lock()
	if s.back != b || s.mode == gone {
		s.mu.Unlock()
		return false
	}
	if b.to.Primary && !s.current(b) {
		s.mu.Unlock()
		s.routed()
		return false
	}
	if s.mode == asking {
		s.listen(b, bytes)
		return true
	}
	ended, err := s.track.server(bytes)
	if err != nil {
		s.mu.Unlock()
		s.sever("08P01", "the server sent a message that is not as the protocol has it")
		return false
	}
	silent := ended && s.mode == known && s.holds.doubt == ""
	if silent { // the server ends a session that holds nothing: another one does as well
		s.leave()
		s.mu.Unlock()
		return false
	}
	idle := s.track.idle()
	between := s.track.down.between()
	s.mu.Unlock()
	err = s.write(bytes, between)
	l.Down.Add(int64(len(bytes)))
	if err != nil {
		s.end()
		return false
	}
	if idle {
		s.idle()
	}
	return true
}

// current says whether b's route counts.
func (s *session) current(b *backend) bool {
	v := s.carrier.listener.Table.Hear()
	return v.Epoch == b.epoch() && (v.Open() != route.Closed || !s.busy && v.State != route.Closed)
}

// idle is called when the server's answer is with the client and nothing is open.
func (s *session) idle() {
	s.mu.Lock()
	if s.track.idle() {
		s.quiet()
	}
	plain := s.plain()
	s.mu.Unlock()
	if !plain {
		s.routed()
	}
}

// plain says whether there is nothing that an idle session has to do.
func (s *session) plain() bool {
	if s.back == nil {
		return false
	}
	v := s.carrier.listener.Table.View()
	return s.carrier.listener.Keeps(s.back.to, s.back.epoch(), v) && (!s.back.to.Primary || v.Open() == route.Serving && v.Target == s.target && !s.unasked())
}

// write sends bytes to the client; whole says that they end with a message.
func (s *session) write(bytes []byte, whole bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.told { // what the old server said must not follow
		return errOver
	}
	_, err := s.out.Write(bytes)
	s.broken = err != nil || !whole
	return err
}

// linger is called from time to time: a session that was idle since the last call is asked what it holds.
func (s *session) linger() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == running && s.movable && !s.busy && !s.used && s.back != nil && s.plain() {
		s.ask()
	}
	s.used = false
}

// end ends the session without a word.
func (s *session) end() {
	s.mu.Lock()
	s.over()
	s.mu.Unlock()
	_ = s.client.Close()
}

// over lets go of the servers. It says whether the session was not over before.
func (s *session) over() bool {
	if s.mode == gone {
		return false
	}
	s.quiet()
	s.asked()
	s.mode = gone
	switch {
	case s.back == nil:
	case s.track.bye: // the server has the client's goodbye, which a reset would overtake
		go s.back.conn.Close()
	default:
		s.back.close()
	}
	s.forgo()
	s.signal()
	return true
}
