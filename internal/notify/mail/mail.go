// Package mail sends notices by SMTP, over the standard library's client.
//
// It is our own because a mail is what most people rely on at night, and the library of package shout sends mail without
// a deadline after the dial, without a Message-ID to tell doubles apart, and with subjects as they come. TLS is on unless
// the address says off, and a password never goes over a connection without it.
package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/post"
)

// Sender sends mail through one server.
type Sender struct{ account *account }

// sendTime bounds one mail where the caller's context does not.
const sendTime = time.Minute

// Open returns a sender for "smtp://user:password@host:587/?from=backstay@example.org&to=ops@example.org". The port is 587
// unless given; smtps, or port 465, speaks TLS at once, all others STARTTLS; tls=off sends as it is, for a server on
// this host. Without from, the user is the sender.
func Open(address string) (*Sender, error) {
	a, err := parse(address)
	if err != nil {
		return nil, err
	}
	return &Sender{a}, nil
}

// Send sends m to every recipient in one mail: all are accepted, or none is sent.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	text, err := letter(s.account, m)
	if err != nil {
		return &notify.Failure{Reason: "the message cannot be written as a mail", Permanent: true}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	// The client knows no context: its end closes the connection, and whoever reads or writes it hears so.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	if err := s.talk(conn, text); err != nil {
		return failure(ctx, err)
	}
	return nil
}

func (s *Sender) dial(ctx context.Context) (net.Conn, error) {
	if s.account.implicit && !s.account.plain {
		return (&tls.Dialer{Config: s.tls()}).DialContext(ctx, "tcp", s.account.address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", s.account.address)
}

func (s *Sender) tls() *tls.Config {
	return &tls.Config{ServerName: s.account.host, MinVersion: tls.VersionTLS12}
}

// errNoTLS is returned for a server that offers none.
var errNoTLS = errors.New("no TLS")

// talk hands text over on conn. When it returns nil the server has answered that it took it.
func (s *Sender) talk(conn net.Conn, text []byte) error {
	a := s.account
	c, err := smtp.NewClient(conn, a.host)
	if err != nil {
		return err
	}
	if !a.implicit && !a.plain {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errNoTLS
		}
		if err := c.StartTLS(s.tls()); err != nil {
			return err
		}
	}
	if a.user != "" {
		if err := c.Auth(login(c, a)); err != nil {
			return err
		}
	}
	if err := c.Mail(a.from.Address); err != nil {
		return err
	}
	for _, to := range a.to {
		if err := c.Rcpt(to.Address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // The server has taken the mail; how it says goodbye changes nothing.
	return nil
}

// login picks what the server offers: CRAM-MD5 only where nothing else is, since it needs the password in the clear there.
func login(c *smtp.Client, a *account) smtp.Auth {
	_, offers := c.Extension("AUTH")
	offers = " " + strings.ToUpper(offers) + " "
	if !strings.Contains(offers, " PLAIN ") && strings.Contains(offers, " CRAM-MD5 ") {
		return smtp.CRAMMD5Auth(a.user, a.password)
	}
	return smtp.PlainAuth("", a.user, a.password, a.host)
}

// failure says in words what went wrong. The server's own words are left out: they may repeat what it was told.
func failure(ctx context.Context, err error) error {
	var answer *textproto.Error
	switch {
	case ctx.Err() != nil:
		return post.Failed(ctx.Err())
	case errors.Is(err, errNoTLS):
		return &notify.Failure{Reason: "the server offers no TLS", Permanent: true}
	case errors.As(err, &answer):
		// RFC 5321 section 4.2.1: 4yz may pass, 5yz does not. 421, 450, 451, 452 and greylisting are of the first kind.
		return &notify.Failure{Reason: meaning(answer.Code), Permanent: answer.Code >= 500}
	}
	return post.Failed(err)
}

// meaning returns what an answer of a server says.
func meaning(code int) string {
	words := map[int]string{
		421: "it is closing", 450: "the mailbox is busy", 451: "it had an error", 452: "it has no room", 454: "login does not work now",
		530: "it wants a login", 534: "it wants another way to log in", 535: "user or password are wrong",
		550: "the mailbox does not exist, or mail is refused", 551: "the user is not here", 552: "the mailbox is full",
		553: "the address is not allowed", 554: "it refuses the mail",
	}
	text := "the server answered " + strconv.Itoa(code)
	if w := words[code]; w != "" {
		text += ": " + w
	}
	return text
}
