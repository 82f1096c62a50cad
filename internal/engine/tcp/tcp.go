// Package tcp is the engine for servers of which nothing is known but that they take connections, and, where the URL has a question, how they
// answer it. They can be members of a cluster, in order of preference; they can't be protected.
package tcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// Engine is the engine for any TCP service. The zero value is ready for use.
type Engine struct{}

var _ engine.Member = Engine{}

// Kind is "tcp".
func (Engine) Kind() string { return "tcp" }

const form = "tcp://HOST:PORT[?send=BYTES&expect=BYTES], bytes that are no letters and digits as %0D"

// longest is how many bytes a question or an answer has at most.
const longest = 4096

// Member returns who looks whether the server at tcp://HOST:PORT[?send=BYTES][&expect=BYTES] takes connections, is sent bytes, and answers with what
// begins with others. With send alone any answer is right; with expect alone the server speaks first. Bytes are escaped as in any URL, but for
// "+", which is itself.
func (Engine) Member(raw string) (engine.Looker, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "tcp" || u.Hostname() == "" || u.Port() == "" || u.Path != "" && u.Path != "/" {
		return nil, errors.New("read URL: want " + form) // the cause would show it
	}
	l := looker{address: u.Host}
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		name, value, _ := strings.Cut(part, "=")
		b, err := url.PathUnescape(value)
		switch {
		case part == "":
			continue
		case err != nil || b == "" || len(b) > longest:
			return nil, fmt.Errorf("read URL: %s is no text of 1 to %d bytes: want %s", name, longest, form)
		case name == "send":
			l.send = []byte(b)
		case name == "expect":
			l.expect = []byte(b)
		default:
			return nil, fmt.Errorf("read URL: %q is not known: want %s", name, form)
		}
	}
	return l, nil
}

// looker asks one server.
type looker struct {
	address      string
	send, expect []byte
}

// Address implements engine.Looker.
func (l looker) Address() string { return l.address }

// answerWithin is how long a server may take to answer, where ctx leaves it longer.
const answerWithin = 5 * time.Second

// Look implements engine.Looker: a server that takes a connection, and answers as it should, is as good as any other.
func (l looker) Look(ctx context.Context) (engine.Sight, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return engine.Sight{}, fmt.Errorf("look at %s: %w", l.address, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })() // what waits ends
	if err := l.ask(conn); err != nil {
		return engine.Sight{}, fmt.Errorf("look at %s: %w", l.address, err)
	}
	return engine.Sight{Role: engine.RoleAny, Lag: -1}, nil
}

// ask sends the question, and reads as much of the answer as tells whether it is right.
func (l looker) ask(conn net.Conn) error {
	if l.send == nil && l.expect == nil {
		return nil
	}
	answer, n := make([]byte, max(len(l.expect), 1)), 0
	_, err := conn.Write(l.send)
	if err == nil {
		n, err = io.ReadFull(conn, answer)
	}
	switch answer = answer[:n]; {
	case l.expect == nil && n > 0, err == nil && bytes.Equal(answer, l.expect):
		return nil
	case n > 0 && !bytes.HasPrefix(l.expect, answer):
		return fmt.Errorf("it answers %.40q, not %.40q", answer, l.expect)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it takes connections and does not answer: %w", context.DeadlineExceeded)
	default:
		return fmt.Errorf("it takes connections and ends them before it has answered: %w", err)
	}
}

// Close implements engine.Looker.
func (l looker) Close() error { return nil }
