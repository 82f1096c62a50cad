package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/freeport"
)

// TestGuide runs every console block of docs/guide, page by page, each in a folder of its own with the database that
// the guide's first page makes. A line that begins with "$ " is typed into bash; the lines below it are what must
// come out, where … stands for anything, and a line of its own for any number of lines. A block that begins with the name of the file is
// written there.
func TestGuide(t *testing.T) {
	for _, tool := range []string{"bash", "sqlite3", "age-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("BACKSTAY_NEED_SERVERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test binary becomes backstay when it is called so.
	if err := os.Symlink(self, filepath.Join(bin, "backstay")); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/guide/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			s := &session{t: t, dir: openFolder(t), bin: bin}
			if filepath.Base(page) == "availability.md" {
				s.cluster(bin)
			}
			if filepath.Base(page) == "postgresql.md" {
				s.server = pgtest.New(t, pgtest.Options{})
				s.server.HBA(t, "local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n")
				s.server.Exec(t, "DROP ROLE "+pgtest.Backup, "SELECT pg_reload_conf()")
			}
			t.Cleanup(s.end)
			if filepath.Base(page) != "README.md" {
				s.run(consoleBlock{command: `sqlite3 app.db "PRAGMA journal_mode=wal; CREATE TABLE notes (text); INSERT INTO notes VALUES ('one')"`, line: 0})
			}
			for _, b := range consoleBlocks(string(text)) {
				s.run(b)
			}
		})
	}
}

// openFolder is a folder that a server's user can enter too, unlike those of t.TempDir.
func openFolder(t *testing.T) string {
	dir, err := os.MkdirTemp("", "backstay-guide-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// consoleBlock is one command of a page and what it must print.
type consoleBlock struct {
	line    int
	file    string // that is written with want; "" for a command
	command string
	want    []string
}

// fileMark begins a block that is a file, not something typed.
const fileMark = "# backstay.yaml"

func consoleBlocks(page string) []consoleBlock {
	var blocks []consoleBlock
	inside, writing := false, false
	for n, line := range strings.Split(page, "\n") {
		command, typed := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside, writing = line == "```console", false
		case line == fileMark:
			blocks, writing = append(blocks, consoleBlock{line: n + 1, file: strings.TrimPrefix(line, "# ")}), true
		case writing:
			b := &blocks[len(blocks)-1]
			b.want = append(b.want, line)
		case inside && typed:
			blocks = append(blocks, consoleBlock{line: n + 1, command: command})
		case inside && len(blocks) > 0:
			b := &blocks[len(blocks)-1]
			b.want = append(b.want, line)
		}
	}
	return blocks
}

// pattern is what the output must match: … inside a line stands for anything, … alone for any lines.
func (b consoleBlock) pattern() string {
	var p strings.Builder
	for _, line := range b.want {
		if strings.TrimSpace(line) == "…" {
			p.WriteString(`(?:.*\n)*?`)
			continue
		}
		p.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\s*\n`)
	}
	return `\A` + p.String() + `\z`
}

// session is one page's terminal.
type session struct {
	t          *testing.T
	server     *pgtest.Cluster // that the page calls db1; nil for none
	standby    *pgtest.Cluster // that the page calls db2; nil for none
	names      []string        // of the page, and what stands for them here
	dir        string
	bin        string
	background *exec.Cmd
	out        lockedBuffer
}

func (s *session) bash(ctx context.Context, command string) *exec.Cmd {
	var env []string
	if s.server != nil {
		u, err := url.Parse(s.server.URL("postgres"))
		if err != nil {
			s.t.Fatal(err)
		}
		command = s.here(strings.ReplaceAll(command, "db1:5432", u.Host))
		env = []string{"PGHOST=" + u.Hostname(), "PGPORT=" + u.Port(), "PGUSER=postgres", "PGDATABASE=postgres"}
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", command)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+s.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+s.dir)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

func (s *session) run(b consoleBlock) {
	s.t.Helper()
	if b.file != "" {
		if err := os.WriteFile(filepath.Join(s.dir, b.file), []byte(s.here(strings.Join(b.want, "\n"))+"\n"), 0o600); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	if b.command == "kill %1" {
		s.end()
		s.background, s.out = nil, lockedBuffer{}
		return
	}
	if command, ok := strings.CutSuffix(b.command, " &"); ok {
		s.follow(b, command)
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	out, err := s.bash(ctx, b.command).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("line %d: %s: %v", b.line, b.command, err)
	}
	if err != nil && !strings.Contains(strings.Join(b.want, "\n"), "error: ") {
		s.t.Fatalf("line %d: %s: %v\n%s", b.line, b.command, err, out)
	}
	if s.standby != nil && strings.HasPrefix(b.command, "psql -c") {
		s.standby.CatchUp(s.t) // a person takes as long until the next command
	}
	if b.line > 0 && !regexp.MustCompile(b.pattern()).Match(out) {
		s.t.Fatalf("line %d: %s prints\n%s\nwant\n%s", b.line, b.command, out, strings.Join(b.want, "\n"))
	}
}

// follow starts a command that stays, as in another terminal, and waits until it has done its first work.
func (s *session) follow(b consoleBlock, command string) {
	s.t.Helper()
	if s.background != nil {
		s.t.Fatalf("line %d: a second command stays", b.line)
	}
	s.background = s.bash(context.Background(), "exec "+command)
	s.background.Stdout, s.background.Stderr = &s.out, &s.out
	if err := s.background.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status, err := s.bash(s.t.Context(), "backstay status --json").Output()
		follows := bytes.Contains(status, []byte(`"state": "following"`)) && !bytes.Contains(status, []byte(`"bases": 0`))
		if err == nil && (follows || bytes.Contains(status, []byte(`"state": "serving"`))) {
			time.Sleep(1500 * time.Millisecond) // A person takes as long until the next command.
			if !regexp.MustCompile(b.pattern()).MatchString(s.out.String()) {
				s.t.Fatalf("line %d: %s prints\n%s\nwant\n%s", b.line, b.command, s.out.String(), strings.Join(b.want, "\n"))
			}
			return
		}
	}
	s.t.Fatalf("line %d: %s does not begin to follow:\n%s", b.line, b.command, s.out.String())
}

// cluster makes a primary and a standby, addresses to listen on, and an ssh that reaches the two.
func (s *session) cluster(bin string) {
	s.t.Helper()
	s.server = pgtest.New(s.t, pgtest.Options{Checksums: true, Settings: map[string]string{"fsync": "on", "wal_keep_size": "256MB"}})
	s.t.Cleanup(func() { // agents start them anew
		for _, c := range []*pgtest.Cluster{s.server, s.standby} {
			if err := member.Halt(context.Background(), c.Dir); err != nil {
				s.t.Error(err)
			}
		}
	})
	s.server.HBA(s.t, "local all all trust\nlocal replication all trust\nhost all backstay,postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 trust\n")
	s.server.Exec(s.t, "DROP ROLE "+pgtest.Backup, "SELECT pg_reload_conf()")
	s.standby = s.server.Standby(s.t, "db2")
	shim := "#!/bin/sh\ncase $1 in\n"
	for name, c := range map[string]*pgtest.Cluster{"db1": s.server, "db2": s.standby} {
		_, socket, _ := strings.Cut(c.SocketURL(pgtest.Admin), "?")
		s.names = append(s.names, name+":5432", fmt.Sprintf("127.0.0.1:%d", c.Port), "/srv/"+name, c.Dir, "host=/run/"+name, socket,
			"psql "+name, fmt.Sprintf("psql -p %d postgres", c.Port))
		shim += fmt.Sprintf("%s) export PGDATA='%s' PATH='%s':$PATH;;\n", name, c.Dir, c.Programs.Dir)
	}
	shim += "esac\nshift\nif [ $(id -u) = 0 ]; then exec setpriv --reuid=$(stat -c %u $PGDATA) --regid=$(stat -c %g $PGDATA) --clear-groups \"$@\"; fi\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(shim), 0o755); err != nil {
		s.t.Fatal(err)
	}
	for _, at := range []string{"127.0.0.1:6432", "127.0.0.1:6433"} {
		s.names = append(s.names, at, freeport.Address(s.t))
	}
}

// here is a text of the page with what stands for its names.
func (s *session) here(text string) string { return strings.NewReplacer(s.names...).Replace(text) }

// end is Ctrl-C in the other terminal; it must end cleanly.
func (s *session) end() {
	if s.background == nil || s.background.Process == nil {
		return
	}
	if err := s.background.Process.Signal(os.Interrupt); err != nil {
		s.t.Error(err)
	}
	if err := s.background.Wait(); err != nil {
		s.t.Error(fmt.Errorf("%s: %w\n%s", s.background, err, s.out.String()))
	}
}
