package crash

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// told is one change of which a receiver was told.
type told struct {
	at                                            time.Time // when it came
	Kind, Objective, Source, Severity, Reason, Do string
}

// sinks are a webhook receiver, a mail server and a dead man's switch: what they took is the proof.
type sinks struct {
	t                 *testing.T
	hook, switchboard *httptest.Server
	smtp              net.Listener
	mu                sync.Mutex
	changes           []told
	taken             map[string]bool // messages by ID
	mails             []told          // Reason is the text
	pings             []time.Time
	connections       sync.WaitGroup
}

func newSinks(t *testing.T) *sinks {
	t.Helper()
	s := &sinks{t: t, taken: map[string]bool{}}
	s.hook = httptest.NewServer(http.HandlerFunc(s.take))
	s.switchboard = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pings = append(s.pings, time.Now())
	}))
	var err error
	if s.smtp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.connections.Go(func() {
		for {
			c, err := s.smtp.Accept()
			if err != nil {
				return
			}
			s.connections.Go(func() { s.receive(c) })
		}
	})
	t.Cleanup(func() {
		s.hook.Close()
		s.switchboard.Close()
		_ = s.smtp.Close()
		s.connections.Wait()
		if t.Failed() {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, c := range s.changes {
				t.Logf("told at %s: %s %s %s %s: %s", c.at.Format("15:04:05.0"), c.Severity, c.Kind, c.Source, c.Objective, c.Reason)
			}
		}
	})
	return s
}

// take takes a message of the webhook.
func (s *sinks) take(_ http.ResponseWriter, r *http.Request) {
	var m struct {
		ID      string
		Changes []told
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		s.t.Errorf("the webhook was sent %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[m.ID] {
		return // who was killed before the answer came sends it again
	}
	s.taken[m.ID] = true
	for _, c := range m.Changes {
		c.at = time.Now()
		s.changes = append(s.changes, c)
	}
}

// receive speaks RFC 5321 with one client, as far as it takes mail.
func (s *sinks) receive(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r := textproto.NewReader(bufio.NewReader(conn))
	say := func(text string) { _, _ = fmt.Fprint(conn, text, "\r\n") }
	say("220 sink")
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "DATA":
			say("354 go")
			s.keep(r.DotReader())
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *sinks) keep(letter io.Reader) {
	m, err := mail.ReadMessage(letter)
	if err != nil {
		s.t.Errorf("a mail cannot be read: %v", err)
		return
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		s.t.Errorf("a mail cannot be read: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, told{at: time.Now(), Severity: m.Header.Get("X-Backstay-Severity"), Reason: string(body)})
}

// config is what backstay.yaml says of them, and the environment that holds the address of the mail server.
func (s *sinks) config() (notify, env string) {
	return "notify:\n  - { to: \"webhook+" + s.hook.URL + "/\" }\n  - { to: \"env:BACKSTAY_TEST_MAIL\", at: [critical] }\n" +
		"  - { to: \"" + s.switchboard.URL + "/\", ping: 1s }\n", "BACKSTAY_TEST_MAIL=smtp://" + s.smtp.Addr().String() + "/?tls=off&from=b@example.org&to=ops@example.org"
}

// after lists what the webhook took after a time.
func (s *sinks) after(since time.Time) []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.changes), func(c told) bool { return c.at.Before(since) })
}

// pinged is when the dead man's switch was called last.
func (s *sinks) pinged() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pings) == 0 {
		return time.Time{}
	}
	return s.pings[len(s.pings)-1]
}

// noticed waits for a change about a source, whose reason holds words, that came after since, and demands that it came within a limit. What
// is critical must have come by mail too.
func (s *sinks) noticed(since time.Time, within time.Duration, kind, objective, source, words string) told {
	s.t.Helper()
	fits := func(c told) bool {
		return c.Kind == kind && c.Objective == objective && c.Source == source && strings.Contains(c.Reason, words)
	}
	for end := since.Add(within + 20*time.Second); ; time.Sleep(20 * time.Millisecond) {
		if all := s.after(since); slices.ContainsFunc(all, fits) {
			c := all[slices.IndexFunc(all, fits)]
			took := c.at.Sub(since)
			s.t.Logf("%s %s of %s was told after %.1f s (limit %v): %s", kind, objective, source, took.Seconds(), within, c.Reason)
			if took > within {
				s.t.Errorf("that is too late")
			}
			if c.Severity == "critical" && kind != "ended" {
				s.mailed(since, within, words)
			}
			return c
		}
		if time.Now().After(end) {
			s.t.Fatalf("nobody was told in %v that %s of %s %s (%s); told was %+v", time.Since(since).Round(time.Second), objective, source, kind, words, s.after(since))
		}
	}
}

// mailed demands that a mail with words came within the limit too.
func (s *sinks) mailed(since time.Time, within time.Duration, words string) {
	s.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		i := slices.IndexFunc(s.mails, func(m told) bool {
			return m.at.After(since) && strings.Contains(strings.Join(strings.Fields(m.Reason), " "), words)
		})
		late := i >= 0 && s.mails[i].at.Sub(since) > within
		s.mu.Unlock()
		if i >= 0 {
			if late {
				s.t.Errorf("the mail about %q came too late", words)
			}
			return
		}
	}
	s.t.Errorf("no mail says %q", words)
}
