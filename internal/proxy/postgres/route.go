package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// routed does what the route that counts asks of the session. It may be called at any time.
func (s *session) routed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signal()
	v := s.carrier.listener.Table.View()
	switch {
	case s.mode == gone:
	case s.mode == away:
		s.start()
	case s.back.to.Primary:
		s.atPrimary(v)
	case !s.busy && !s.carrier.listener.Keeps(s.back.to, 0, v):
		s.depart("the replica is no member of the cluster any more")
	}
}

// atPrimary is routed for a session at a primary.
func (s *session) atPrimary(v *proxy.View) {
	switch open := v.Open(); {
	case v.Epoch != s.back.epoch() || v.State == route.Closed:
		if s.busy || s.mode != known || s.holds.doubt != "" {
			s.cutLost("the primary of the cluster changes")
			return
		}
		s.leave()
		s.start()
	case open == route.Closed && s.busy:
		s.cutLost("nobody renewed this proxy's route to the primary")
	case open == route.Holding && !s.busy:
		if s.mode == running {
			s.ask()
		}
		s.prepare(v)
	case open == route.Serving && v.Target == "": // if there was to be a change, it was given up
		s.target = ""
		s.forgo()
	case open == route.Serving && !s.busy && s.target != v.Target && !s.going:
		s.target = v.Target
		s.prepare(v)
	case open == route.Serving && s.unasked():
		s.ask()
	}
}

// unasked says whether the session is to be asked ahead of a planned change, what it holds then may change: the server has then done most of the work
// of the question that counts, when nobody may go on.
func (s *session) unasked() bool {
	return s.target != "" && s.ahead != nil && s.asker == "" && s.mode == running && !s.busy
}

// forgo lets go of the login ahead.
func (s *session) forgo() {
	if s.ahead != nil {
		s.ahead.close()
		s.ahead = nil
	}
}

// ready says whether all is done for the session that can be done before it is held.
func (s *session) ready(target string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode == gone || !s.movable || s.back == nil || !s.back.to.Primary || s.target == target && !s.going && s.mode != asking
}

// depart moves an idle session away from a server that still answers.
func (s *session) depart(why string) {
	switch {
	case s.mode == running && s.movable:
		s.ask()
	case s.mode == asking:
	case s.mode == known && s.holds.doubt == "":
		s.leave()
		s.start()
	default:
		s.cutLost(why)
	}
}

// seek has someone log in for a session that has no server.
func (s *session) seek() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == away {
		s.start()
	}
}

func (s *session) start() {
	if !s.going {
		s.going = true
		go s.attach()
	}
}

// again is the pause between two tries to log in.
const again = 50 * time.Millisecond

// attach brings a session that is away to the member that the route names, as soon as it names one.
func (s *session) attach() {
	l := s.carrier.listener
	ctx, cancel := context.WithTimeoutCause(context.Background(), l.Wait, proxy.ErrNoPrimary)
	defer cancel()
	_, err := l.Table.Await(ctx, func(v *proxy.View) bool { _, ok := l.Choose(v); return ok })
	var b *backend
	if err == nil {
		s.carrier.movers <- struct{}{}
		b, err = s.reach(ctx)
		<-s.carrier.movers
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.going = false
	switch {
	case err != nil:
		if errors.Is(err, proxy.ErrNoPrimary) {
			l.Expired.Add(1)
		}
		s.cut("57P01", "the session could not go on at another server", "Nothing was open. Connect again.")
	case s.mode != away:
		b.drop()
	default:
		s.install(b)
		l.Moved.Add(1)
		news := changes(s.track.reported, b.greeting.statuses)
		s.track.reported = b.greeting.statuses
		go func() {
			if len(news) > 0 && s.write(news, true) != nil {
				s.end()
			}
			s.fromServer(b)
		}()
		go s.routed() // what happened meanwhile; it wakes who waits
	}
}

// drop closes a connection that no session uses.
func (b *backend) drop() {
	b.close()
	if b.at != nil {
		b.at.Detach()
	}
}

// reach logs in at the member for the session, and tries again for as long as a session may wait.
func (s *session) reach(ctx context.Context) (*backend, error) {
	l := s.carrier.listener
	ctx, cancel := context.WithTimeoutCause(ctx, l.Wait, proxy.ErrNoPrimary)
	defer cancel()
	for {
		v, up, err := l.Await(ctx)
		if err != nil {
			return nil, err
		}
		b, err := s.connect(ctx, v, up)
		if err == nil || final(err) {
			return b, err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// final says whether a server's refusal is for the client to read; a server that starts, or ends, is tried again.
func final(err error) bool {
	var e *ServerError
	if errors.As(err, &e) {
		return e.Code != "57P03" && e.Code != "57P01" && e.Code != "57P02"
	}
	return errors.Is(err, errDoubt)
}

// connect logs in at one member, or takes the login that was made there ahead.
func (s *session) connect(ctx context.Context, v *proxy.View, up proxy.Upstream) (*backend, error) {
	s.mu.Lock()
	b, asks := s.ahead, s.asks
	s.ahead = nil
	s.mu.Unlock()
	if b != nil && up.Primary && b.to.Address == up.Address && (b.made == 0 || b.made == asks) {
		return s.takeUp(b, v, up)
	}
	if b != nil {
		b.close()
	}
	conn, at, err := s.carrier.listener.Connect(ctx, v, up)
	if err != nil {
		return nil, err
	}
	b = &backend{conn: conn, to: up, at: at}
	defer s.bounded(b)()
	if err = s.logIn(ctx, b); err == nil {
		err = s.remake(b)
	}
	if err != nil {
		b.drop()
		return nil, err
	}
	return b, nil
}

// takeUp goes on with the login that was made ahead.
func (s *session) takeUp(b *backend, v *proxy.View, up proxy.Upstream) (*backend, error) {
	at, err := s.carrier.listener.Table.Attach(v)
	if err != nil {
		b.close()
		return nil, err
	}
	b.at, b.to = at, up
	if b.made != 0 {
		return b, nil
	}
	defer s.bounded(b)()
	if err := s.remake(b); err != nil {
		b.drop()
		return nil, err
	}
	return b, nil
}

// remake makes at a server what the session holds.
func (s *session) remake(b *backend) error {
	s.mu.Lock()
	holds, asks := s.holds, s.asks
	s.mu.Unlock()
	_ = b.conn.SetDeadline(time.Now().Add(s.carrier.listener.Dial))
	if err := holds.restore(b); err != nil {
		return err
	}
	b.made = asks
	return b.conn.SetDeadline(time.Time{})
}

// bounded ends b's connection when its epoch ends, until stop is called: a login must not hold that up.
func (s *session) bounded(b *backend) (stop func()) {
	if b.at == nil {
		return func() {}
	}
	conn, epoch := b.conn, b.at.Epoch()
	return s.carrier.listener.Table.Watch(func(v *proxy.View) {
		if v.Epoch != epoch || v.Open() == route.Closed {
			proxy.Reset(conn)
		}
	})
}

// logIn logs in on b's connection.
func (s *session) logIn(ctx context.Context, b *backend) (err error) {
	plain := b.conn
	if b.conn, err = s.carrier.encrypt(ctx, plain, b.to.Address); err != nil {
		b.conn = plain
		return err
	}
	_ = b.conn.SetDeadline(time.Now().Add(s.carrier.listener.Dial))
	if b.greeting, err = login(b.conn, s.parameters, s.login); err != nil {
		return err
	}
	return b.conn.SetDeadline(time.Time{})
}

// prepare logs in at the member that will be the primary and, once the session may not go on, makes there what it holds, so that nobody waits
// for it then.
func (s *session) prepare(v *proxy.View) {
	asked := s.mode == known && v.Open() == route.Holding
	if !s.movable || s.going || v.Target == "" || s.mode == known && s.holds.doubt != "" {
		return
	}
	b := s.ahead
	switch {
	case b == nil:
	case b.to.Address != v.Target, b.made != 0 && b.made != s.asks: // another target, or the session has gone on since
		s.forgo()
		b = nil
	case b.made != 0 || !asked:
		return
	}
	s.ahead, s.going, s.target = nil, true, v.Target
	target := proxy.Upstream{Address: v.Target, Primary: true}
	go func() {
		slot := s.carrier.slot()
		b, err := s.goAhead(b, target, asked)
		<-slot
		s.mu.Lock()
		defer s.mu.Unlock()
		s.going = false
		if err == nil && s.mode == gone {
			b.close()
		} else if err == nil { // else it will be tried again when it is the primary
			s.ahead = b
		}
		switch {
		case s.mode == away:
			s.start()
		case s.mode == known && !asked: // it was asked meanwhile
			go s.routed()
		case slot == s.carrier.early && s.unasked():
			s.ask()
		}
	}()
}

// slot waits until another one may log in ahead. Whoever got it takes it out again.
func (c *Carrier) slot() chan struct{} {
	look := time.NewTicker(again)
	defer look.Stop()
	for c.listener.Table.View().Open() == route.Serving {
		select {
		case c.early <- struct{}{}:
			return c.early
		case <-look.C: // those who are held need not be spared any more
		}
	}
	c.movers <- struct{}{}
	return c.movers
}

// goAhead logs in at a target, unless b is a login there, and makes there what the session holds if it was asked.
func (s *session) goAhead(b *backend, target proxy.Upstream, asked bool) (*backend, error) {
	if b == nil {
		var err error
		if b, err = s.loginAhead(target); err != nil {
			return nil, err
		}
	}
	if asked {
		if err := s.remake(b); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

func (s *session) loginAhead(to proxy.Upstream) (*backend, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.carrier.listener.Dial)
	defer cancel()
	conn, err := s.carrier.listener.DialMember(ctx, to.Address)
	if err != nil {
		return nil, err
	}
	b := &backend{conn: conn, to: to}
	if err := s.logIn(ctx, b); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}
