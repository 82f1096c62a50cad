package member

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	autoConf      = "postgresql.auto.conf"
	standbySignal = "standby.signal"
)

// marker finds whom a standby follows in its primary_conninfo. fallback_application_name is of no effect beside application_name.
var marker = regexp.MustCompile(`fallback_application_name='of ((?:[^'\\]|\\.)*)'`)

// conninfo is how this member streams from another one.
func (s *Server) conninfo(member string) (string, error) {
	base, ok := s.c.Members[member]
	if !ok {
		return "", fmt.Errorf("%s does not know how to reach %s", s.c.Name, member)
	}
	return fmt.Sprintf("connect_timeout=3 %s application_name=%s fallback_application_name=%s", base, quoted(s.c.Name), quoted("of "+member)), nil
}

func quoted(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// followed is the member that a primary_conninfo of ours names, "" for any other.
func followed(conninfo string) string {
	m := marker.FindStringSubmatch(conninfo)
	if m == nil {
		return ""
	}
	return strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(m[1])
}

// follows is the member that a standby with this primary_conninfo follows as it should: "" too where it would reach it otherwise than is known now,
// as when its address or its passfile has changed since. It is told anew then.
func (s *Server) follows(conninfo string) string {
	member := followed(conninfo)
	if want, err := s.conninfo(member); err == nil && want != conninfo {
		return ""
	}
	return member
}

// set changes settings of a running server, and returns when new processes of it have them, so that the running ones were told.
func (s *Server) set(ctx context.Context, settings map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	done, err := s.change(ctx, settings)
	if err != nil {
		return fmt.Errorf("set %s of %s: %w", strings.Join(slices.Sorted(maps.Keys(settings)), ", "), s.c.Name, err)
	}
	if done {
		return nil
	}
	return s.counts(ctx, settings)
}

// counts waits until new processes have settings.
func (s *Server) counts(ctx context.Context, settings map[string]string) error {
	return s.until(ctx, "its settings count", func() (is bool, err error) {
		err = s.with(ctx, func(conn *pgconn.PgConn) error {
			differ, err := differing(settings, func(sql string) (rows, error) { return query(ctx, conn, sql) })
			is = err == nil && len(differ) == 0
			return err
		})
		return is, err
	})
}

// change writes what differs, and has the server read it. It reports whether nothing did. The kept session will do for it: whatever the server was
// told before, it takes in before its next statement.
func (s *Server) change(ctx context.Context, settings map[string]string) (done bool, err error) {
	if done, err = s.file(ctx, settings); done || err != nil {
		return done, err
	}
	_, err = s.keptQuery(ctx, "select pg_reload_conf()")
	return false, err
}

// file writes what differs, for the server's next start and for when it next reads its settings. It reports whether nothing did.
func (s *Server) file(ctx context.Context, settings map[string]string) (done bool, err error) {
	differ, err := differing(settings, func(sql string) (rows, error) { return s.keptQuery(ctx, sql) })
	for _, name := range differ {
		if err := s.alter(ctx, name, settings[name]); err != nil {
			return false, err
		}
	}
	return err == nil && len(differ) == 0, err
}

func (s *Server) alter(ctx context.Context, name, value string) error {
	_, err := s.keptQuery(ctx, "alter system set "+name+" = "+literal(value))
	return err
}

// differing are the names of settings that a session has otherwise.
func differing(settings map[string]string, ask func(sql string) (rows, error)) (differ []string, err error) {
	names := slices.Sorted(maps.Keys(settings))
	var columns []string
	for _, name := range names {
		columns = append(columns, "current_setting("+literal(name)+")")
	}
	out, err := ask("select " + strings.Join(columns, ", "))
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if out[0][i] != settings[name] {
			differ = append(differ, name)
		}
	}
	return differ, nil
}

// until asks again and again, soon at first, until that is over: it is so, or never will be, and why. Any other error is asked past.
func (s *Server) until(ctx context.Context, what string, is func() (bool, error)) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 10*time.Millisecond) {
		over, err := is()
		switch {
		case over && err == nil:
			return nil
		case over:
			return fmt.Errorf("wait for %s until %s: %w", s.c.Name, what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s until %s: %w", s.c.Name, what, errors.Join(context.Cause(ctx), err))
		case <-time.After(pause):
		}
	}
}

// write changes settings of a server that does not run: what stands last counts.
func (s *Server) write(settings map[string]string) error {
	old, err := os.ReadFile(s.path(autoConf))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the settings of %s: %w", s.c.Name, err)
	}
	return s.put(s.path(autoConf), []byte(withSettings(string(old), settings)))
}

// withSettings replaces settings in the text of a postgresql.auto.conf, which has one on each line.
func withSettings(text string, settings map[string]string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "=")
		if _, ours := settings[name]; ours {
			continue
		}
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = %s\n", name, literal(strings.ReplaceAll(settings[name], `\`, `\\`)))
	}
	return b.String()
}

// signal makes the next start one of a standby.
func (s *Server) signal() error { return s.put(s.path(standbySignal), nil) }
