package mail

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
)

// account is where mail goes, and how.
type account struct {
	host     string // of the server, without port
	address  string // host:port
	implicit bool   // TLS from the first byte
	plain    bool   // no TLS is accepted
	user     string
	password string
	from     mail.Address
	to       []mail.Address
}

// parse reads "smtp://user:password@host:587/?from=a@example.org&to=b@example.org,c@example.org". Its errors hold nothing
// of raw.
func parse(raw string) (*account, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return nil, errors.New("parse mail address: it is no URL")
	}
	a := &account{host: u.Hostname()}
	port := u.Port()
	switch u.Scheme {
	case "smtps":
		a.implicit, port = true, orElse(port, "465")
	case "smtp":
		port = orElse(port, "587")
		a.implicit = port == "465"
	default:
		return nil, errors.New("parse mail address: it begins with neither smtp:// nor smtps://")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || a.host == "" {
		return nil, errors.New("parse mail address: it names no server and port")
	}
	a.address = net.JoinHostPort(a.host, port)
	a.user = u.User.Username()
	a.password, _ = u.User.Password()
	return a, a.query(u.Query())
}

// query reads what stands behind the question mark.
func (a *account) query(q url.Values) error {
	for name := range q {
		switch strings.ToLower(name) {
		case "from", "fromaddress":
			from, err := mail.ParseAddress(q.Get(name))
			if err != nil {
				return errors.New("parse mail address: from is no address")
			}
			a.from = *from
		case "to", "toaddresses":
			list, err := mail.ParseAddressList(strings.Join(q[name], ","))
			if err != nil {
				return errors.New("parse mail address: to is no list of addresses")
			}
			for _, to := range list {
				a.to = append(a.to, *to)
			}
		case "tls":
			if q.Get(name) != "off" {
				return errors.New(`parse mail address: tls is only ever "off"`)
			}
			a.plain = true
		default:
			return fmt.Errorf("parse mail address: %q is none of from, to, tls", name)
		}
	}
	if len(a.to) == 0 {
		return errors.New("parse mail address: to is missing")
	}
	if a.from.Address == "" {
		if !strings.Contains(a.user, "@") {
			return errors.New("parse mail address: from is missing")
		}
		a.from.Address = a.user
	}
	if a.plain && a.user != "" && !loopback(a.host) {
		return errors.New("parse mail address: a password is not sent without TLS")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
