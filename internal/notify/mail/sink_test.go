package mail_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/notify/notifytest"
)

// sink is an SMTP server that keeps what it takes.
type sink struct {
	net.Listener
	tls   *tls.Config // offers STARTTLS; nil means not
	login string      // user and password that are wanted; empty means none

	mu      sync.Mutex
	mode    notifytest.Mode
	taken   []string
	conns   map[net.Conn]bool
	secured int // mails that came over TLS
	group   sync.WaitGroup
}

func newSink(t *testing.T, login string, offers *tls.Config) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{Listener: l, conns: map[net.Conn]bool{}, login: login, tls: offers}
	s.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.group.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.Set(notifytest.Drops)
		s.group.Wait()
	})
	return s
}

// Set sets how s behaves and ends the connections that there are.
func (s *sink) Set(mode notifytest.Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
	for c := range s.conns {
		_ = c.Close()
	}
	clear(s.conns)
}

func (s *sink) Taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.taken...)
}

// serve speaks RFC 5321 with one client.
func (s *sink) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	s.mu.Lock()
	mode := s.mode
	s.mu.Unlock()
	switch mode {
	case notifytest.Drops:
		return
	case notifytest.Hangs:
		_, _ = io.Copy(io.Discard, conn)
		return
	case notifytest.Takes, notifytest.Busy, notifytest.Refuses:
	}
	r := textproto.NewReader(bufio.NewReader(conn))
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 sink")
	secure, known := false, s.login == ""
	for {
		text, err := r.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(text, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-sink")
			if s.tls != nil && !secure {
				say("250-STARTTLS")
			}
			say("250 AUTH PLAIN")
		case "STARTTLS":
			say("220 go")
			upgraded := tls.Server(conn, s.tls)
			conn, r, secure = upgraded, textproto.NewReader(bufio.NewReader(upgraded)), true
		case "AUTH":
			data, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if known = string(data) == "\x00"+strings.Replace(s.login, ":", "\x00", 1); !known || mode == notifytest.Refuses {
				say("535 5.7.8 %s is wrong", data) // Such servers exist: the answer repeats the password.
				return
			}
			say("235 welcome")
		case "MAIL":
			switch {
			case mode == notifytest.Busy:
				say("451 try again later")
			case mode == notifytest.Refuses, !known:
				say("550 no")
			default:
				say("250 ok")
			}
		case "RCPT":
			if strings.Contains(rest, "nobody@") {
				say("550 no such user")
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go")
			body, err := r.ReadDotBytes()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.taken = append(s.taken, string(body))
			if secure {
				s.secured++
			}
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what")
		}
	}
}

// certificate returns one for 127.0.0.1 that nobody has signed.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sink"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
