// Package shout sends notices to chats, telephones and pagers, each by a service of github.com/nicholas-fedor/shoutrrr.
//
// The addresses are that library's own (shoutrrr.nickfedor.com), "slack://hook:…@webhook" for example. What it lacks is
// added here: a deadline (it knows no context), shelter from its panics, and errors without the address, which its own
// carry. Services that do not pass the suite are not in the table: Telegram's answers nil to every failure, so package
// telegram stands in for it; Join's and IFTTT's put the text into the address; mail is package mail, and webhooks are
// package webhook.
package shout

import (
	"context"
	"errors"
	"io"
	"log"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/post"
)

// Sender sends by one service.
type Sender struct {
	address *url.URL
	service service
	busy    chan struct{} // one place for each call that is under way, abandoned ones too
}

// abandoned bounds the calls that did not return when their time was over. The library cannot be told to stop them.
const abandoned = 4

// silent keeps the library's own log, which holds addresses, out of ours.
var silent = log.New(io.Discard, "", 0)

// Open returns a sender for an address of one of the Kinds. Its errors hold nothing of it.
func Open(address string) (*Sender, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return nil, errors.New("parse receiver address: it is no URL")
	}
	s := &Sender{address: u, busy: make(chan struct{}, abandoned)}
	var ok bool
	if s.service, ok = services[u.Scheme]; !ok {
		return nil, errors.New("parse receiver address: it begins with none of " + strings.Join(Kinds(), ", "))
	}
	if s.service.dials {
		return s, nil
	}
	if err := attempt(func() error { return s.service.open().Initialize(u, silent) }); err != nil {
		return nil, errors.New("parse receiver address: it is no complete address of " + u.Scheme)
	}
	return s, nil
}

// Kinds returns the first words of the addresses that Open takes, sorted.
func Kinds() []string {
	var out []string
	for kind := range services {
		out = append(out, kind)
	}
	slices.Sort(out)
	return out
}

// Send sends m. A call that has not returned when ctx ends goes on without us; while too many do so, Send fails at once.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	if ctx.Err() != nil {
		return post.Failed(ctx.Err())
	}
	select {
	case s.busy <- struct{}{}:
	default:
		return &notify.Failure{Reason: "it has not answered earlier messages"}
	}
	done := make(chan error, 1)
	go func() {
		err := attempt(func() error { return s.send(ctx, m) })
		<-s.busy
		done <- err
	}()
	select {
	case err := <-done:
		return failure(err)
	case <-ctx.Done():
		return post.Failed(ctx.Err())
	}
}

// send makes a service of its own for each message: the library's keep state between calls.
func (s *Sender) send(ctx context.Context, m notify.Message) error {
	service := s.service.open()
	address := *s.address
	if err := service.Initialize(&address, silent); err != nil {
		return err
	}
	for _, p := range s.service.parts(m) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		params := p.params
		if err := service.Send(p.text, &params); err != nil {
			return err
		}
	}
	return nil
}

// errPanic is what a panic of the library becomes.
var errPanic = errors.New("panic")

// attempt calls f, and turns a panic of the library into an error: Zulip's service does when there is no network.
func attempt(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	return f()
}

// status finds an HTTP status in the library's errors, which have no type for it.
var status = regexp.MustCompile(`(?i)(?:status|failed|http)[a-z ]*:? ([1-5]\d\d)\b`)

// failure returns what is known of err and holds no secret. Of the library's words only a status is taken.
func failure(err error) error {
	if err == nil {
		return nil
	}
	var f *notify.Failure
	if errors.As(err, &f) {
		return f
	}
	var connection *url.Error
	if errors.As(err, &connection) {
		return post.Failed(connection.Err)
	}
	if match := status.FindStringSubmatch(err.Error()); match != nil {
		if code, _ := strconv.Atoi(match[1]); code >= 300 {
			return post.Answered(code, "")
		}
	}
	if facts := post.Failed(err); facts.Reason != post.Unknown {
		return facts
	}
	return &notify.Failure{Reason: "the service did not take the message; its own words may hold the address, and are left out"}
}

// part is one call of a service.
type part struct {
	text   string
	params types.Params
}
