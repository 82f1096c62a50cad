package crash

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// TestRestoreGoesRoundDamage damages a pack and a segment in one of two repositories and another segment in the other:
// a restore takes each from where it is good, and says so. What is damaged in both is refused.
func TestRestoreGoesRoundDamage(t *testing.T) {
	s := newShop(t, "wal", 200)
	s.file("backstay.yaml", "repositories:\n  one: { store: ./one }\n  two: { store: ./two }\n"+
		"sources:\n  app: { url: \"sqlite:./app.db\", repositories: [one, two], segment_size: 100KiB }\n")
	s.begin()
	s.until(60*time.Second, "both have some segments", func() bool {
		return len(s.objects(s.path("one"))["log"]) > 3 && len(s.objects(s.path("two"))["log"]) > 3
	})
	s.rest()
	s.protected()
	s.caughtUp("two")
	s.stop()
	one, two := s.path("one"), s.path("two")
	all := s.ledger()
	last := all[len(all)-1].n

	logs := s.objects(one)["log"]
	logs = slices.DeleteFunc(logs, func(name string) bool {
		_, err := os.Stat(s.path("two/" + name))
		return err != nil
	})
	if len(logs) < 3 {
		t.Fatalf("only %d segments lie in both repositories", len(logs))
	}
	pack := s.objects(one)["pack"][0]
	flip(t, one, pack)
	flip(t, one, logs[len(logs)-1])
	if err := os.Remove(s.path("one/" + logs[len(logs)-2])); err != nil {
		t.Fatal(err)
	}
	flip(t, two, logs[len(logs)-3])
	out, err := s.command("restore", "app", "--into", "new", "--json").Output()
	var plan api.Restore
	if err := errors.Join(err, json.Unmarshal(out, &plan)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := s.orders(s.path("new/app.db")); got != last {
		t.Errorf("restored %d orders, %d were committed", got, last)
	}
	var objects []string
	for _, e := range plan.Done.Elsewhere {
		objects = append(objects, e.Object)
	}
	// The chain may begin behind some of them, but never without the base and the newest segment.
	if taken := strings.Join(objects, " "); !strings.Contains(taken, pack) || !strings.Contains(taken, logs[len(logs)-1]) {
		t.Errorf("taken elsewhere: %q, want the pack and the segment", taken)
	}
	s.warned("app/base/", "restore", "app", "--into", "again")

	flip(t, two, pack)
	s.refused(exitDamage, "pack", "restore", "app", "--into", "never")
	if _, err := os.Stat(s.path("never")); err == nil {
		t.Error("the refused restore left its folder behind")
	}
	s.refused(exitDamage, "pack", "restore", "app", "--repository", "one", "--into", "never")
}

// flip turns a bit in the middle of an object.
func flip(t *testing.T, repo, name string) {
	t.Helper()
	b := read(t, repo, name)
	b[len(b)/2] ^= 1
	put(t, repo, name, b)
}

// warned runs a command that must succeed and warn with the words.
func (s *shop) warned(words string, args ...string) {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "warning: ") || !strings.Contains(string(out), words) || !strings.Contains(string(out), "backstay check app") {
		s.t.Errorf("backstay %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
