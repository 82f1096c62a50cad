package postgres

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/secret"
)

// ApplicationName is what we are called in pg_stat_replication, and in synchronous_standby_names, unless the URL or
// PGAPPNAME gives another name.
const ApplicationName = "backstay"

// connectTimeout is how long a connection may take to be made, unless the URL says otherwise.
const connectTimeout = 15 * time.Second

// whereSecretsGo is the hint for a password in a URL.
const whereSecretsGo = "leave it out of the URL, which is shown and logged; put it into ~/.pgpass (or the file that PGPASSFILE or " +
	"?passfile= names), a service file, or the environment variable PGPASSWORD, or say where it is: ?auth=env:NAME or ?auth=file:PATH"

// Settings are what a connection to the server at raw is made with, its password as it is now: a URL's auth, which libpq does not know, says where
// that is found.
func Settings(ctx context.Context, raw string) (*pgconn.Config, error) {
	config, err := parseURL(raw)
	if err != nil {
		return nil, err
	}
	password, err := Password(ctx, raw)
	if err != nil {
		return nil, err
	}
	if password != "" {
		config.Password = password
	}
	return config, nil
}

// Password is what the auth of a URL stands for; "" where it has none.
func Password(ctx context.Context, raw string) (string, error) {
	_, auth, err := splitAuth(raw)
	if err != nil || auth == "" {
		return "", err
	}
	return secret.Find(ctx, auth)
}

// splitAuth takes auth out of a URL.
func splitAuth(raw string) (rest, auth string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", errors.New("read URL: it is not of the form postgres://user@host:5432") // the cause would show it
	}
	q := u.Query()
	if !q.Has("auth") {
		return raw, "", nil
	}
	auth = q.Get("auth")
	if !secret.IsReference(auth) {
		return "", "", engine.WithHint("say where the password is found: auth=env:NAME or auth=file:PATH", "read URL: auth is no reference")
	}
	q.Del("auth")
	u.RawQuery = q.Encode()
	return u.String(), auth, nil
}

// parseURL reads postgres://user@host:5432/database?sslmode=verify-full&… as libpq does, with its environment
// variables, password and service files.
func parseURL(raw string) (*pgconn.Config, error) {
	raw, _, err := splitAuth(raw)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("read URL: it is not of the form postgres://user@host:5432") // the cause would show it
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, engine.WithHint("for example postgres://backstay@db1:5432", "read URL: %q is not PostgreSQL's", u.Scheme)
	}
	q := u.Query()
	if _, ok := u.User.Password(); ok || q.Has("password") || q.Has("sslpassword") {
		return nil, engine.WithHint(whereSecretsGo, "read URL: it has a password in it")
	}
	config, err := pgconn.ParseConfig(raw)
	if err != nil {
		return nil, engine.WithHint("for example postgres://backstay@db1:5432?sslmode=verify-full&sslrootcert=/etc/backstay/ca.pem", "read URL: %w", err)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = ApplicationName
	}
	delete(config.RuntimeParams, "replication") // we know when
	if !q.Has("connect_timeout") && os.Getenv("PGCONNECT_TIMEOUT") == "" {
		config.ConnectTimeout = connectTimeout
	}
	if config.Database == "" {
		config.Database = "postgres" // and not one of the role's name
	}
	if wanted := sessionAttributes(q); config.ValidateConnect != nil {
		config.ValidateConnect = func(ctx context.Context, c *pgconn.PgConn) error { return validate(ctx, c, wanted) }
	}
	return config, nil
}

func sessionAttributes(q url.Values) string {
	if v := q.Get("target_session_attrs"); v != "" {
		return v
	}
	return os.Getenv("PGTARGETSESSIONATTRS")
}

// validate is target_session_attrs with simple queries only, as a replication connection takes no others.
func validate(ctx context.Context, c *pgconn.PgConn, wanted string) error {
	results, err := c.Exec(ctx, "SHOW transaction_read_only").ReadAll()
	if err != nil {
		return err
	}
	readOnly := len(results) == 1 && len(results[0].Rows) == 1 && string(results[0].Rows[0][0]) == "on"
	switch {
	case readOnly && (wanted == "read-write" || wanted == "primary"):
		return errors.New("the server is read-only")
	case !readOnly && (wanted == "read-only" || wanted == "standby"):
		return errors.New("the server is not read-only")
	}
	return nil
}

// where names the server for people, or those that it may be.
func (s *Source) where() string {
	list := []string{net.JoinHostPort(s.config.Host, strconv.Itoa(int(s.config.Port)))}
	for _, f := range s.config.Fallbacks { // one host may be in it with and without TLS
		if next := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !slices.Contains(list, next) {
			list = append(list, next)
		}
	}
	return strings.Join(list, " or ")
}
