package postgres

import (
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
)

// farewell is how long a client may take to read why its session ends.
const farewell = time.Second

// sever ends the session, and tells the client why if it can still be told.
func (s *session) sever(code, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut(code, why, "")
}

// cutLost ends a session whose server is gone, or may be spoken to no more: with what that means for the client.
func (s *session) cutLost(why string) {
	l := s.carrier.listener
	write := s.back == nil || s.back.to.Primary
	switch {
	case s.mode == gone:
	case s.track.bye:
		s.over()
	case s.busy && write && s.track.unknown():
		l.Unknown.Add(1)
		s.cut("08007", why+": whether the transaction was committed is not known", "Look before you run it again: it may have happened.")
	case s.busy:
		l.Severed.Add(1)
		s.cut("57P01", why, "The transaction did not happen. Connect again and run it again.")
	default:
		l.Unmoved.Add(1)
		if s.mode == known && s.holds.doubt != "" {
			why += "; the session can not go on at another server: " + s.holds.doubt
		}
		s.cut("57P01", why, "Nothing was open. Connect again.")
	}
}

// cut ends the session at once. What is said to the client is said in the background.
func (s *session) cut(code, why, hint string) {
	if !s.over() {
		return
	}
	// A write that is stuck in front of a slow client ends now: nothing of the old server may reach it any more.
	_ = s.client.SetWriteDeadline(time.Now())
	go s.goodbye(fatal(code, why, hint))
}

func (s *session) goodbye(message []byte) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.told = true
	if s.broken {
		proxy.Reset(s.client)
		return
	}
	_ = s.client.SetDeadline(time.Now().Add(farewell))
	if _, err := s.client.Write(message); err != nil {
		proxy.Reset(s.client)
		return
	}
	// Closing with bytes unread resets the connection, and the message with it: the reader takes them, and closes.
	if half, ok := s.client.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// drain reads what a client that was told goodbye still sends.
func (s *session) drain() {
	_ = s.client.SetReadDeadline(time.Now().Add(farewell))
	_ = proxy.NewReader(s.client).Each(func([]byte) bool { return true }) // until it goes, or the time is over
}

// lostServer is called when b's connection ended.
func (s *session) lostServer(b *backend) {
	s.mu.Lock()
	if s.back != b || s.mode == gone {
		s.mu.Unlock()
		return
	}
	if s.mode == known && s.holds.doubt == "" {
		s.leave()
		s.mu.Unlock()
		return
	}
	s.cutLost("the connection to the server was lost")
	s.mu.Unlock()
}

// leave lets go of the server of an idle session that can go on elsewhere.
func (s *session) leave() {
	s.back.leave()
	s.back = nil
	s.mode = away
	s.signal()
}
