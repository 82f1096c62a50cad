package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

func TestInfoIsRead(t *testing.T) {
	for _, c := range []struct {
		text   string
		role   engine.Role
		seq    uint64
		broken string
	}{
		{"# Replication\r\nrole:master\r\nconnected_slaves:1\r\nmaster_repl_offset:1234\r\n", engine.RolePrimary, 1234, ""},
		{"role:slave\r\nmaster_host:10.0.0.2\r\nmaster_port:6379\r\nmaster_link_status:up\r\nslave_repl_offset:1200\r\nmaster_repl_offset:1234\r\n", engine.RoleReplica, 1200, ""},
		{"role:slave\r\nmaster_host:10.0.0.2\r\nmaster_port:6379\r\nmaster_link_status:down\r\nslave_repl_offset:7\r\n", engine.RoleReplica, 7, "its link to 10.0.0.2:6379 is down"},
	} {
		s, err := sight(c.text)
		if err != nil || s.Role != c.role || s.Position.Seq != c.seq || s.Broken != c.broken {
			t.Errorf("%q: %+v, %v", c.text, s, err)
		}
	}
	if _, err := sight("role:sentinel\r\n"); err == nil {
		t.Error("a sentinel is taken for a server")
	}
}

func TestURLs(t *testing.T) {
	for raw, want := range map[string]string{"redis://10.0.0.2": "10.0.0.2:6379", "redis://kv:7000/": "kv:7000", "rediss://u@kv?auth=env:X": "kv:6379", "redis://[::1]:1": "[::1]:1"} {
		if l, err := (Engine{}).Member(raw); err != nil || l.Address() != want {
			t.Errorf("%s: %v, %v", raw, l, err)
		}
	}
	for _, raw := range []string{"redis://", "redis://kv/3", "redis://kv?db=1", "redis://kv?auth=hunter2", "redis://%zz"} {
		if _, err := (Engine{}).Member(raw); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestAServerThatHangs ends with its context, and a refusal is the server's word.
func TestAServerThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if i == 0 {
				fmt.Fprint(conn, "-LOADING Redis is loading the dataset in memory\r\n")
			}
		}
	}()
	m, err := (Engine{}).Member("redis://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var refused *ServerError
	if _, err := m.Look(t.Context()); !errors.As(err, &refused) || !strings.HasPrefix(refused.Text, "LOADING") {
		t.Errorf("a server that loads: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := m.Look(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that hangs: %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "-ERR no\r\n", "$3\r\nabc\r\n", "$-1\r\n", "=5\r\ntxt:a\r\n", "$1048577\r\n", "*0\r\n", "\r\n", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		text, err := answer(bufio.NewReader(strings.NewReader(wire)))
		if err == nil && !strings.Contains(wire, text) {
			t.Errorf("%q answers %q", wire, text)
		}
		if err == nil {
			_, _ = sight(text) // no input may panic it
		}
	})
}
