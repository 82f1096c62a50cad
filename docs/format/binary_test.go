package format_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// protectAsAPersonDoes runs the whole binary in dir on a database, with a repository in store, stops it when all
// commits are durable there, and drills. The key lies in dir then.
func protectAsAPersonDoes(t *testing.T, dir, store string, env []string) *source {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "backstay")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/backstay").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	p := open(t, filepath.Join(dir, "app.db"))
	d := &daemon{t: t, dir: dir, binary: binary, env: append(os.Environ(), env...)}
	d.start("protect", "sqlite:./app.db", "--store", store)
	d.await(func(s status) bool { return s.Repositories[0].Bases == 1 })
	p.atBase = p.content()
	for i := range 20 {
		p.exec("INSERT INTO orders (item) VALUES (?)", fmt.Sprintf("item %d", i))
	}
	p.late()
	p.atEnd = p.content()
	end := fmt.Sprintf("1/%d", 1+20+4) // the base is transaction 1
	d.await(func(s status) bool { return s.Repositories[0].Position == end })
	d.stop()
	if out, err := d.command("drill", "app").CombinedOutput(); err != nil {
		t.Fatalf("drill: %v\n%s", err, out)
	}
	return p
}

// daemon is a running backstay.
type daemon struct {
	t           *testing.T
	dir, binary string
	env         []string
	cmd         *exec.Cmd
	out         bytes.Buffer
	done        chan error
}

func (d *daemon) start(args ...string) {
	d.t.Helper()
	d.cmd = exec.Command(d.binary, args...)
	d.cmd.Dir, d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = d.dir, d.env, &d.out, &d.out
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.done = make(chan error, 1)
	go func() { d.done <- d.cmd.Wait() }()
	d.t.Cleanup(func() {
		if d.done != nil {
			_ = d.cmd.Process.Kill()
			<-d.done
		}
	})
}

// command is another backstay in the same folder.
func (d *daemon) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.t.Context(), d.binary, args...)
	cmd.Dir, cmd.Env = d.dir, d.env
	return cmd
}

// stop ends it as Ctrl-C does.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.done:
		d.done = nil
	case <-time.After(time.Minute):
		d.t.Fatal("backstay does not end")
	}
	if !strings.Contains(d.out.String(), "stopped") {
		d.t.Fatalf("backstay ended with:\n%s", d.out.String())
	}
}

// status is what the test needs of what backstay status --json prints of a source.
type status struct {
	Repositories []struct {
		Position string `json:"position"`
		Bases    int    `json:"bases"`
	} `json:"repositories"`
}

// await asks for the status until it is as it should be.
func (d *daemon) await(good func(status) bool) {
	d.t.Helper()
	var last []byte
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-d.done:
			d.done = nil
			d.t.Fatalf("backstay ended: %v\n%s", err, d.out.String())
		default:
		}
		out, err := d.command("status", "--json").Output()
		if err != nil {
			continue
		}
		last = out
		var all struct{ Sources []status }
		if err := json.Unmarshal(out, &all); err != nil {
			d.t.Fatal(err)
		}
		if len(all.Sources) == 1 && len(all.Sources[0].Repositories) == 1 && good(all.Sources[0]) {
			return
		}
	}
	d.t.Fatalf("the status stays at %s", last)
}
