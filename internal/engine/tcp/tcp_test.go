package tcp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// serve has a listener that treats each connection as given.
func serve(t *testing.T, talk func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			talk(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

// silent reads until the client goes, and says nothing.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func greets(text string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Write([]byte(text))
		silent(conn)
	}
}

// pongs answers a line with a byte at a time.
func pongs(conn net.Conn) {
	if line, _ := bufio.NewReader(conn).ReadString('\n'); line == "PING +1\r\n" {
		for _, c := range []byte("+PONG\r\n") {
			_, _ = conn.Write([]byte{c})
		}
	}
}

// TestAServerIsAsked: one that takes connections and says nothing, or something else, is no better than one that is gone.
func TestAServerIsAsked(t *testing.T) {
	for _, c := range []struct {
		name, query string
		talk        func(net.Conn)
		want        string // of the error; empty: it is fine
	}{
		{"no question", "", silent, ""},
		{"it answers", "?send=PING%20+1%0D%0A&expect=+PONG", pongs, ""},
		{"any answer will do", "?send=PING%20+1%0D%0A", pongs, ""},
		{"it speaks first", "?expect=220%20", greets("220 mail ready\r\n"), ""},
		{"it says nothing to a question", "?send=PING%0D%0A&expect=+PONG", silent, "takes connections and does not answer"},
		{"it says nothing at all", "?send=PING%0D%0A", silent, "takes connections and does not answer"},
		{"it says the beginning", "?expect=220%20", greets("22"), "takes connections and does not answer"},
		{"it says something else", "?expect=220%20", greets("421 too busy\r\n"), `it answers "421 ", not "220 "`},
		{"it hangs up", "?send=PING%0D%0A&expect=+PONG", func(net.Conn) {}, "ends them before it has answered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := serve(t, c.talk)
			l, err := Engine{}.Member("tcp://" + address + c.query)
			if err != nil {
				t.Fatal(err)
			}
			if l.Address() != address {
				t.Errorf("clients are led to %s", l.Address())
			}
			patience := time.Minute
			if strings.Contains(c.want, "does not answer") {
				patience = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s, err := l.Look(ctx)
			switch {
			case c.want == "" && (err != nil || s.Role != engine.RoleAny):
				t.Errorf("%+v, %v", s, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%+v, %v, want %s", s, err, c.want)
			case strings.Contains(c.want, "does not answer") && !errors.Is(err, context.DeadlineExceeded):
				t.Errorf("%v is no end of time", err)
			}
		})
	}
}

// TestAServerHasBoundedTime, whatever the caller allows.
func TestAServerHasBoundedTime(t *testing.T) {
	t.Parallel()
	l, err := Engine{}.Member("tcp://" + serve(t, silent) + "?expect=220")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := l.Look(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestQuestionsAreReadFromTheURL(t *testing.T) {
	for raw, says := range map[string]string{
		"tcp://h:1?send=%zz": "send is no text",
		"tcp://h:1?expect=":  "expect is no text",
		"tcp://h:1?send=" + strings.Repeat("x", longest+1): "send is no text",
		"tcp://h:1?ask=x":       `"ask" is not known`,
		"tcp://h:1/path?send=x": "want tcp://",
		"tcp://h?send=x":        "want tcp://",
	} {
		if l, err := (Engine{}).Member(raw); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %+v, %v", raw, l, err)
		}
	}
	l, err := Engine{}.Member("tcp://h:1/?send=%12%01%00+a&expect=%04%01")
	if got, ok := l.(looker); err != nil || !ok || string(got.send) != "\x12\x01\x00+a" || string(got.expect) != "\x04\x01" {
		t.Errorf("%+v, %v", l, err)
	}
}
