package django

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// python is the one that the distribution installs Django and drivers for; another may come first in PATH.
const python = "/usr/bin/python3"

// workers of the project, each with its own kept connections.
const workers = 6

// project is the running example.
type project struct{ url string }

func need(t *testing.T) {
	t.Helper()
	if err := exec.Command(python, "-c", "import django, psycopg2").Run(); err != nil {
		if os.Getenv("BACKSTAY_NEED_SERVERS") != "" {
			t.Fatal("no python3 with Django and psycopg2; make packages brings them")
		}
		t.Skip("no python3 with Django and psycopg2: install python3-django and python3-psycopg2")
	}
}

// newProject makes the tables and serves the project. environment tells the settings where the database is.
func newProject(t *testing.T, environment ...string) *project {
	t.Helper()
	environment = append(os.Environ(), append([]string{"SHOP_USER=" + app, "SHOP_PASSWORD=" + pgtest.Password, "PYTHONDONTWRITEBYTECODE=1"}, environment...)...)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(here, "../../docs/guide/django")
	migrate := exec.Command(python, "manage.py", "migrate", "--verbosity=0")
	migrate.Dir, migrate.Env = dir, environment
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	cmd := exec.Command(python, filepath.Join(here, "serve.py"), fmt.Sprint(workers))
	cmd.Dir, cmd.Env = dir, environment
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // the server ends then
		if err := cmd.Wait(); err != nil || t.Failed() {
			text := said.String()
			t.Logf("the project ended: %v\n%s", err, text[max(0, len(text)-4000):])
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the project does not start: %v\n%s", err, said.String())
	}
	return &project{url: "http://127.0.0.1:" + strings.TrimSpace(port)}
}

// behind runs the project behind w's listeners.
func behind(t *testing.T, w *world) *project {
	t.Helper()
	var ports []string
	for _, a := range []string{w.rw, w.ro} {
		_, port, err := net.SplitHostPort(a)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return newProject(t, "SHOP_RW="+ports[0], "SHOP_RO="+ports[1])
}

// settled gives idle connections time to be asked what they hold.
func settled() { time.Sleep(time.Second) }
