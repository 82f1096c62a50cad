package crash

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
)

const exitDamage = 6 // docs/reference/exit-codes.md

// TestPlantedDamage plants a hundred damages: five ways over every kind of object that docs/format names, three forged
// segments, and the whole repository put back to an earlier copy. The check finds each; a drill on each either still
// proves the data or says which part is lost, and never proves what is not there; a restore takes nothing that is forged.
func TestPlantedDamage(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.configure("100KiB")
	s.write()
	s.protect()
	s.until(30*time.Second, "protection begins", func() bool { return !s.durable().IsZero() })
	s.run("backup", "app")
	earlier, pristine, repo := s.path("earlier"), s.path("pristine"), s.path("repo")
	time.Sleep(2 * time.Second)
	s.rest()
	s.protected()
	s.stop()
	copyTo(t, earlier, repo)
	s.fillBundle()
	s.run("drill", "app")
	s.run("drill", "app")
	s.check()
	copyTo(t, pristine, repo)
	all := s.ledger()
	last := all[len(all)-1].n

	objects := s.objects(pristine)
	kinds := slices.Sorted(maps.Keys(objects))
	want := []string{"audit", "bundle", "checkpoint", "key", "key-copy", "log", "manifest", "map", "pack", "report", "tip"}
	if missing := slices.DeleteFunc(slices.Clone(want), func(kind string) bool { return slices.Contains(kinds, kind) || kind == "tip" }); len(missing) > 0 {
		t.Fatalf("the repository holds %v: no %v", kinds, missing)
	}
	t.Logf("kinds of objects: %v", kinds)
	f := newForger(s)
	forged := []func() string{f.inPlace, f.behind, f.listed}
	for i := range 96 {
		copyTo(t, repo, pristine)
		kind := kinds[i%len(kinds)]
		d := damages[(i/len(kinds))%len(damages)]
		name := objects[kind][rand.IntN(len(objects[kind]))]
		if !d.plant(t, repo, name, objects[kind]) {
			d = damages[0]
			d.plant(t, repo, name, objects[kind])
		}
		if kind == "audit" {
			s.foundInCopy(d.name, name)
			continue
		}
		s.found(d.name + " " + name)
	}
	for i, forge := range forged {
		copyTo(t, repo, pristine)
		s.found("forged " + forge())
		into := s.path("forged" + strconv.Itoa(i))
		code, out := s.exit("restore", "app", "--into", into)
		switch {
		case code == exitDamage:
		case code == 0 && i > 0: // what is not listed by who may sign is passed over
			if got := s.orders(filepath.Join(into, "app.db")); got != last {
				t.Errorf("with a forged segment beside it %d orders were restored, %d were committed", got, last)
			}
		default:
			t.Errorf("restore with a forged segment ended with %d\n%s", code, out)
		}
	}
	copyTo(t, repo, earlier)
	s.found("the whole repository put back")
}

// fillBundle puts so many reports that the ledger puts leaves into a bundle.
func (s *shop) fillBundle() {
	s.t.Helper()
	signer, err := ledger.OpenSigner(s.path(".backstay/signer"), "host")
	if err != nil {
		s.t.Fatal(err)
	}
	r := openRepository(s.t, s.path("repo"), repository.Options{Source: "app", Signer: signer})
	for i := 0; len(s.objects(s.path("repo"))["bundle"]) == 0; i++ {
		if err := r.PutReport(s.t.Context(), fmt.Sprintf("20200101T000000.%03dZ", i), fmt.Appendf(nil, "what drill %d found", i)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// found demands that a check finds a damage, and a drill proves the data all the same or names it.
func (s *shop) found(what string) {
	s.t.Helper()
	if code, out := s.exit("check", "app"); code != exitDamage {
		s.t.Errorf("%s: check ended with %d\n%s", what, code, out)
	}
	s.drillOnDamage(what)
}

// foundInCopy demands that damage of the copy of the audit log is found, and told apart from damage of the log. A copy whose newest
// checkpoint is missing was interrupted, or is older, for all that anybody can know.
func (s *shop) foundInCopy(damage, name string) {
	s.t.Helper()
	code, out := s.exit("audit", "verify")
	switch {
	case damage == "missing" && strings.Contains(name, "/checkpoint/"):
		if code != 0 {
			s.t.Errorf("%s %s: audit verify ended with %d\n%s", damage, name, code, out)
		}
	case code != exitDamage || !bytes.Contains(out, []byte("the audit log is whole")):
		s.t.Errorf("%s %s: audit verify ended with %d\n%s", damage, name, code, out)
	}
}

// copyTo makes a folder a copy of another, by links: an object is replaced by another, never written to.
func copyTo(t *testing.T, to, from string) {
	t.Helper()
	err := os.RemoveAll(to)
	if err == nil {
		err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			rel, relErr := filepath.Rel(from, path)
			switch target := filepath.Join(to, rel); {
			case err != nil || relErr != nil:
				return errors.Join(err, relErr)
			case d.IsDir():
				return os.MkdirAll(target, 0o700)
			default:
				return os.Link(path, target)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// drillOnDamage demands that a drill proves the whole data or says what is lost.
func (s *shop) drillOnDamage(what string) {
	s.t.Helper()
	code, out := s.exit("drill", "app", "--json")
	var report struct {
		Verdict string `json:"verdict"`
		Lost    string `json:"lost"`
		Error   string `json:"error"`
	}
	_ = json.Unmarshal(out, &report)
	proved := code == 0 && report.Verdict == "proved"
	named := code != 0 && len(bytes.TrimSpace(out)) > 0 && !strings.Contains(report.Verdict, "environment")
	if !proved && !named {
		s.t.Errorf("%s: drill ended with %d and verdict %q\n%s", what, code, report.Verdict, out)
	}
}

type damage struct {
	name  string
	plant func(t *testing.T, repo, name string, siblings []string) bool // false where it does not apply
}

var damages = []damage{
	{"flipped bit in", func(t *testing.T, repo, name string, _ []string) bool {
		b := read(t, repo, name)
		b[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
		put(t, repo, name, b)
		return true
	}},
	{"truncated", func(t *testing.T, repo, name string, _ []string) bool {
		b := read(t, repo, name)
		put(t, repo, name, b[:rand.IntN(len(b))])
		return true
	}},
	{"missing", func(t *testing.T, repo, name string, _ []string) bool {
		if err := os.Remove(filepath.Join(repo, name)); err != nil {
			t.Fatal(err)
		}
		return true
	}},
	{"swapped", func(t *testing.T, repo, name string, siblings []string) bool {
		i := slices.IndexFunc(siblings, func(o string) bool { return o != name })
		if i < 0 {
			return false
		}
		a, b := read(t, repo, name), read(t, repo, siblings[i])
		put(t, repo, name, b)
		put(t, repo, siblings[i], a)
		return true
	}},
	{"replayed old object as", func(t *testing.T, repo, name string, siblings []string) bool {
		i := slices.IndexFunc(siblings, func(o string) bool { return o < name })
		if i < 0 {
			return false
		}
		put(t, repo, name, read(t, repo, siblings[i]))
		return true
	}},
}

// objects lists what a check must vouch for, by kind. Of the checkpoints that is the newest, of the tips those that it
// names: others have been replaced and wait to be deleted.
func (s *shop) objects(repo string) map[string][]string {
	s.t.Helper()
	all := map[string][]string{}
	err := fs.WalkDir(os.DirFS(repo), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		kind := kindOf(path)
		if kind == "checkpoint" {
			all[kind] = []string{path}
		} else if kind != "" {
			all[kind] = append(all[kind], path)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	newest := string(read(s.t, repo, all["checkpoint"][0]))
	all["tip"] = slices.DeleteFunc(all["tip"], func(path string) bool { return !strings.Contains(newest, strings.TrimPrefix(path, "app/")) })
	if len(all["tip"]) == 0 {
		delete(all, "tip")
	}
	return all
}

func kindOf(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) < 3 || strings.HasPrefix(parts[0], ".") {
		return ""
	}
	if parts[0] == "audit" {
		return parts[0]
	}
	switch last := parts[len(parts)-1]; {
	case parts[1] == "base":
		return strings.TrimRight(last, "-0123456789")
	case parts[1] == "ledger":
		return parts[2]
	default:
		return parts[1]
	}
}

func read(t *testing.T, repo, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repo, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, repo, name string, b []byte) {
	t.Helper()
	path := filepath.Join(repo, name)
	if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// run runs a command that must succeed.
func (s *shop) run(args ...string) {
	s.t.Helper()
	if out, err := s.command(args...).CombinedOutput(); err != nil {
		s.t.Fatalf("backstay %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// exit runs a command and returns its exit code and what it printed.
func (s *shop) exit(args ...string) (int, []byte) {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		s.t.Fatal(err)
	}
	if ended != nil {
		return ended.ExitCode(), out
	}
	return 0, out
}

// TestRolledBackRepository puts the whole repository back to an earlier copy: every signature in it is good, and only
// the checkpoint that this host saw last can tell.
func TestRolledBackRepository(t *testing.T) {
	s := newShop(t, "wal", 50)
	s.write()
	s.protect()
	s.until(30*time.Second, "protection begins", func() bool { return !s.durable().IsZero() })
	s.stop()
	if err := os.CopyFS(s.path("earlier"), os.DirFS(s.path("repo"))); err != nil {
		t.Fatal(err)
	}
	s.protect()
	s.protected()
	s.rest()
	s.stop()
	if err := errors.Join(os.RemoveAll(s.path("repo")), os.Rename(s.path("earlier"), s.path("repo"))); err != nil {
		t.Fatal(err)
	}
	if code, out := s.exit("check", "app"); code != exitDamage {
		t.Errorf("check of a repository that was put back ended with %d\n%s", code, out)
	}
}
