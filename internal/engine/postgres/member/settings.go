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
	differed, err := s.file(ctx, settings)
	if err == nil && differed {
		_, err = s.keptQuery(ctx, reload)
	}
	if err == nil {
		err = s.counts(ctx, settings)
	}
	if err != nil {
		return fmt.Errorf("set %s of %s: %w", strings.Join(slices.Sorted(maps.Keys(settings)), ", "), s.c.Name, err)
	}
	return nil
}

// file writes settings for a running server's next start, and for when it next reads its files, where its postgresql.auto.conf, which is read last, does not
// have them. Each is synced by itself. It reports whether any differed there, or for a process that was told all there was to tell.
func (s *Server) file(ctx context.Context, settings map[string]string) (differed bool, err error) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		names = append(names, literal(name))
	}
	rows, err := s.keptQuery(ctx, `with file as materialized (select lower(name) as name, setting, seqno from pg_file_settings where sourcefile like '%`+autoConf+`')
		select name, current_setting(name), coalesce((select '=' || setting from file where file.name = asked.name order by seqno desc limit 1), '')
		from unnest(array[`+strings.Join(names, ", ")+`]) asked (name)`)
	if err != nil {
		return false, err
	}
	for _, r := range rows {
		name, counts, written := r[0], r[1], r[2]
		differed = differed || counts != settings[name]
		if written == "="+settings[name] {
			continue
		}
		differed = true
		if _, err := s.keptQuery(ctx, "alter system set "+name+" = "+literal(settings[name])); err != nil {
			return differed, err
		}
	}
	return differed, nil
}

// counts waits until settings count for new processes.
func (s *Server) counts(ctx context.Context, settings map[string]string) error {
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
