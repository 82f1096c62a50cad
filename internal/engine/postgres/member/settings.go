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

// reload has a server read its settings again, and tell its processes.
const reload = "select pg_reload_conf()"

// set changes settings of a running server, and returns when new processes of it have them, so that the running ones were told. It rests on nothing that
// an earlier try did: one that broke off may have written what nobody was told of, and told of it is whoever reads next.
func (s *Server) set(ctx context.Context, settings map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	err := s.file(ctx, settings)
	if err == nil {
		_, err = s.keptQuery(ctx, reload)
	}
	if err == nil {
		err = s.count(ctx, settings)
	}
	if err != nil {
		return fmt.Errorf("set %s of %s: %w", strings.Join(slices.Sorted(maps.Keys(settings)), ", "), s.c.Name, err)
	}
	return nil
}

// file writes what its files have otherwise, for the server's next start and for when it next reads them. Each setting is written and synced by itself.
func (s *Server) file(ctx context.Context, settings map[string]string) error {
	names := slices.Sorted(maps.Keys(settings))
	found, err := s.keptQuery(ctx, "select lower(name), setting from pg_file_settings where lower(name) in ("+literals(names)+") order by seqno")
	if err != nil {
		return err
	}
	there := map[string]string{} // of several the last one counts
	for _, f := range found {
		there[f[0]] = f[1]
	}
	for _, name := range names {
		if value, written := there[name]; written && value == settings[name] {
			continue
		}
		if _, err := s.keptQuery(ctx, "alter system set "+name+" = "+literal(settings[name])); err != nil {
			return err
		}
	}
	return nil
}

// count waits until settings count for new processes.
func (s *Server) count(ctx context.Context, settings map[string]string) error {
	var as []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		as = append(as, "current_setting("+literal(name)+") = "+literal(settings[name]))
	}
	return s.until(ctx, "its settings count", func() (bool, error) {
		row, err := s.ask(ctx, "select "+strings.Join(as, " and "))
		return err == nil && row[0] == "t", err
	})
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
	text := withSettings(string(old), settings)
	if err == nil && text == string(old) {
		return nil
	}
	return s.put(s.path(autoConf), []byte(text))
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
