// Package mysql is the engine for MySQL and MariaDB servers, which can be members of a cluster: it asks them whether they are read-only, and
// how far they replicate. They can't be protected yet.
//
// It speaks as much of the client's protocol (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html) as a login and a
// query with a text result need.
package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/secret"
)

// Engine is the engine for MySQL and MariaDB servers. The zero value is ready for use.
type Engine struct{}

var _ engine.Member = Engine{}

// Kind is "mysql".
func (Engine) Kind() string { return "mysql" }

// Member returns who asks the server at mysql://USER@HOST[:PORT][?auth=REFERENCE][&tls=true|skip-verify]. auth says where the password is
// found, as in env:MYSQL_PWD.
func (Engine) Member(raw string) (engine.Looker, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errURL // the cause would show it
	}
	q := u.Query()
	l := &looker{address: u.Host, user: u.User.Username(), auth: q.Get("auth")}
	l.Dial, l.Ask = l.dial, look
	l.Drop = func(c *conn) { _ = c.Close() } // nothing is under way on it
	l.Explain = func(_ context.Context, err error) error { return fmt.Errorf("look at %s: %w", l.address, err) }
	switch mode := q.Get("tls"); mode {
	case "":
	case "true", "skip-verify":
		l.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, InsecureSkipVerify: mode == "skip-verify"}
	default:
		return nil, errURL
	}
	q.Del("auth")
	q.Del("tls")
	switch {
	case u.Hostname() == "" || len(q) > 0 || l.user == "" || u.Path != "" && u.Path != "/":
		return nil, errURL
	case l.auth != "" && !secret.IsReference(l.auth):
		return nil, engine.WithHint("say where the password is found: auth=env:NAME or auth=file:PATH", "read URL: auth is no reference")
	}
	if u.Port() == "" {
		l.address = net.JoinHostPort(u.Hostname(), "3306")
	}
	return l, nil
}

var errURL = errors.New("read URL: want mysql://USER@HOST[:PORT][?auth=env:NAME][&tls=true]")

// looker asks one server.
type looker struct {
	address, user, auth string
	tls                 *tls.Config
	engine.Kept[*conn]
}

// Address implements engine.Looker.
func (l *looker) Address() string { return l.address }

func (l *looker) dial(ctx context.Context) (*conn, error) {
	password := ""
	if l.auth != "" {
		var err error
		if password, err = secret.Find(ctx, l.auth); err != nil {
			return nil, err
		}
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw}
	if err := c.login(ctx, l.user, password, l.tls); err != nil {
		_ = c.Close() // the error says more
		return nil, fmt.Errorf("log in: %w", err)
	}
	return c, nil
}

// look asks for the role. read_only is what managers of MySQL and MariaDB tell primary and replica by; a server that is writable and
// replicates nevertheless is a primary that takes writes from elsewhere too.
func look(ctx context.Context, c *conn) (engine.Sight, error) {
	rows, err := c.query(ctx, "SELECT @@global.read_only, @@version")
	if err != nil {
		return engine.Sight{}, err
	}
	if len(rows.values) != 1 || len(rows.values[0]) != 2 {
		return engine.Sight{}, errPacket
	}
	s := engine.Sight{Role: engine.RolePrimary, Version: rows.values[0][1], Lag: -1}
	if on(rows.values[0][0]) {
		s.Role = engine.RoleReplica
	}
	if gtid, err := c.query(ctx, gtidQuery(s.Version)); err == nil && len(gtid.values) == 1 {
		s.Position = history.Position{Mark: strings.ReplaceAll(gtid.values[0][0], "\n", "")}
	}
	if s.Role == engine.RolePrimary {
		return s, nil
	}
	status, err := c.query(ctx, statusQuery(s.Version))
	var refused *ServerError
	if errors.As(err, &refused) { // it lacks the right to see it
		s.Broken = refused.Error()
		return s, nil
	}
	if err != nil {
		return s, err
	}
	replicating(&s, status)
	return s, nil
}

// replicating reads SHOW REPLICA STATUS, whose columns have one of two names.
func replicating(s *engine.Sight, status result) {
	if len(status.values) == 0 {
		s.Broken = "it replicates from nobody"
		return
	}
	io, sql := status.get("Replica_IO_Running", "Slave_IO_Running"), status.get("Replica_SQL_Running", "Slave_SQL_Running")
	if io != "Yes" || sql != "Yes" {
		s.Broken = fmt.Sprintf("replication stands: IO %s, SQL %s", io, sql)
		return
	}
	if n, err := strconv.ParseUint(status.get("Seconds_Behind_Source", "Seconds_Behind_Master"), 10, 31); err == nil {
		s.Lag = time.Duration(n) * time.Second
	}
}

// on reads a variable that is 0 or OFF, or else 1, ON or, since MariaDB 12, how far it goes.
func on(v string) bool { return v != "0" && !strings.EqualFold(v, "OFF") }

func isMariaDB(version string) bool { return strings.Contains(strings.ToLower(version), "mariadb") }

func gtidQuery(version string) string {
	if isMariaDB(version) {
		return "SELECT @@global.gtid_current_pos"
	}
	return "SELECT @@global.gtid_executed"
}

// statusQuery is what the server calls it: MySQL 8.0.22 knows both names, 8.4 only the new one.
func statusQuery(version string) string {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n >= 8 && !isMariaDB(version) && version != "8.0" {
		if !strings.HasPrefix(version, "8.0.") || patch(version) >= 22 {
			return "SHOW REPLICA STATUS"
		}
	}
	return "SHOW SLAVE STATUS"
}

func patch(version string) int {
	rest := strings.TrimPrefix(version, "8.0.")
	n := 0
	for i := 0; i < len(rest) && i < 4 && rest[i] >= '0' && rest[i] <= '9'; i++ {
		n = 10*n + int(rest[i]-'0')
	}
	return n
}
