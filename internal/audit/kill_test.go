package audit_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store/local"
)

const killDir = "AUDIT_TEST_DIR"

// TestAppendForEver is not a test: TestKilledWriters starts it as a process of its own.
func TestAppendForEver(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("it is started by TestKilledWriters")
	}
	signer, err := ledger.OpenSigner(filepath.Join(dir, "signer"), "db1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(audit.Config{Store: local.New(filepath.Join(dir, "log")), Name: audit.NameOf("db1", signer), Signer: signer,
		Memory: audit.SeenFile(filepath.Join(dir, "seen"))})
	if err != nil {
		t.Fatal(err)
	}
	l.SetFull(30)
	for {
		r, err := l.Append(context.Background(), audit.Entry{What: audit.Base, Outcome: audit.OK})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString(r.ID + "\n") // the parent may be gone
	}
}

// TestKilledWriters kills two processes at a time that append to one log, several times: what they said stands, stands.
func TestKilledWriters(t *testing.T) {
	dir := t.TempDir()
	said := map[string]bool{}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		var running []*exec.Cmd
		lines := make(chan string, 10_000)
		for range 2 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestAppendForEver$")
			cmd.Env = append(os.Environ(), killDir+"="+dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			running = append(running, cmd)
			go func() {
				for s := bufio.NewScanner(out); s.Scan(); {
					if len(s.Text()) == 26 { // a whole one, and no word of the test's own
						lines <- s.Text()
					}
				}
				lines <- ""
			}()
		}
		// Long enough that both have begun; then at another moment in each round.
		limit := time.After(20 * time.Second)
		for n := 0; n < 5+3*round; n++ {
			select {
			case id := <-lines:
				said[id] = true
			case <-limit:
				n = 1000
			}
		}
		for _, cmd := range running {
			_ = cmd.Process.Kill()
		}
		for open := len(running); open > 0; {
			if id := <-lines; id == "" {
				open--
			} else {
				said[id] = true
			}
		}
		for _, cmd := range running {
			_ = cmd.Wait() // it was killed
		}
	}
	delete(said, "")
	signer, err := ledger.OpenSigner(filepath.Join(dir, "signer"), "db1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(audit.Config{Store: local.New(filepath.Join(dir, "log")), Name: audit.NameOf("db1", signer), Signer: signer,
		Memory: audit.SeenFile(filepath.Join(dir, "seen"))})
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	if err := l.Read(t.Context(), audit.Filter{}, func(r audit.Record) error { times[r.ID]++; return nil }); err != nil {
		t.Fatal(err)
	}
	for id := range said {
		if times[id] != 1 {
			t.Errorf("an entry that was acknowledged stands %d times", times[id])
		}
	}
	if v, err := l.Verify(t.Context()); err != nil || len(v.Problems) > 0 || len(said) < 5*rounds {
		t.Errorf("%d were acknowledged: %+v, %v", len(said), v, err)
	}
}
