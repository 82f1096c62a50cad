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

// reload has a server read its settings again, and tell its processes: each parses all files before its next statement.
const reload = "select pg_reload_conf()"

// set changes settings of a running server, and returns when new processes of it have them, so that the running ones were told. It rests on nothing that
// an earlier try did: one that broke off may have written what nobody was told of, and told of it is whoever reads next.
func (s *Server) set(ctx context.Context, settings map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	wrote, err := s.file(ctx, settings)
	if err == nil && !wrote {
		if is, err := s.counts(ctx, settings); err == nil && is {
			return nil
		}
	}
	if err == nil {
		_, err = s.keptQuery(ctx, reload)
	}
	if err == nil {
		err = s.until(ctx, "its settings count", func() (bool, error) { return s.counts(ctx, settings) })
	}
	if err != nil {
		return fmt.Errorf("set %s of %s: %w", strings.Join(slices.Sorted(maps.Keys(settings)), ", "), s.c.Name, err)
	}
	return nil
}

// file writes settings for a running server's next start, and for when it next reads its files, where its postgresql.auto.conf, which is read last, does not
// have them. Each is synced by itself. It reports whether any was written.
func (s *Server) file(ctx context.Context, settings map[string]string) (wrote bool, err error) {
	lines, err := s.keptQuery(ctx, "select lower(name), setting from pg_file_settings where sourcefile like '%"+autoConf+"' order by seqno")
	if err != nil {
		return false, err
	}
	has := map[string]string{} // of several lines the last one counts
	for _, l := range lines {
		has[l[0]] = l[1]
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if value, there := has[name]; there && value == settings[name] {
			continue
		}
		if _, err := s.keptQuery(ctx, "alter system set "+name+" = "+literal(settings[name])); err != nil {
			return wrote, err
		}
		wrote = true
	}
	return wrote, nil
}

// counts reports whether a new process has settings. The session that is kept is no witness: it reads the files when it was told to, but not before its next
// statement, and then what stands in them by now.
func (s *Server) counts(ctx context.Context, settings map[string]string) (bool, error) {
	var as []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		as = append(as, "current_setting("+literal(name)+") = "+literal(settings[name]))
	}
	row, err := s.ask(ctx, "select "+strings.Join(as, " and "))
	return err == nil && row[0] == "t", err
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
	old, err := s.autoConf()
	if err != nil {
		return err
	}
	return s.put(s.path(autoConf), []byte(withSettings(old, settings)))
}

func (s *Server) autoConf() (string, error) {
	text, err := os.ReadFile(s.path(autoConf))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the settings of %s: %w", s.c.Name, err)
	}
	return string(text), nil
}

// withSettings replaces settings in the text of a postgresql.auto.conf, which has one on each line.
func withSettings(text string, settings map[string]string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if _, ours := settings[named(line)]; !ours {
			b.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		b.WriteString(setting(name, settings[name]) + "\n")
	}
	return b.String()
}

// hasSettings reports whether settings are the last word of such a text, as the server and withSettings write it.
func hasSettings(text string, settings map[string]string) bool {
	last := map[string]string{}
	for line := range strings.Lines(text) {
		last[named(line)] = strings.TrimSpace(line)
	}
	for name, value := range settings {
		if last[name] != setting(name, value) {
			return false
		}
	}
	return true
}

// named is which setting a line of it is of.
func named(line string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	name, _, _ = strings.Cut(name, "=")
	return name
}

func setting(name, value string) string {
	return name + " = " + literal(strings.ReplaceAll(value, `\`, `\\`))
}

// signal makes the next start one of a standby.
func (s *Server) signal() error { return s.put(s.path(standbySignal), nil) }
