package crash

import (
	"os"
	"strings"
	"testing"

	"filippo.io/age"
)

// TestBadInput types what people type wrong. Each gets its code and a hint, and nothing is left behind.
func TestBadInput(t *testing.T) {
	s := newShop(t, "wal", 50)
	s.begin()
	s.protected()
	s.rest()
	s.protected()
	s.stop()
	restore := func(args ...string) []string { return append([]string{"restore", "app", "--into", "new"}, args...) }
	s.file("not.db", "this is a letter to a friend, and no database at all, though it is rather long")
	s.file("not.key", "AGE-SECRET-KEY-1NOTREALLY")
	s.file("empty.key", "")
	foreign := newKey(t)
	s.file("foreign.key", foreign)

	for _, x := range []struct {
		code  int
		words string
		args  []string
	}{
		{exitSource, "not a SQLite database", []string{"protect", "sqlite:./not.db"}},
		{exitSource, "there is no such file", []string{"protect", "sqlite:./absent.db"}},
		{exitSource, "a folder", []string{"protect", "sqlite:./repo", "--name", "x"}},
		{exitConfig, "no engine is called|sqlite", []string{"protect", "sqlit:./app.db", "--name", "x"}},
		{exitConfig, "choose another name", []string{"protect", "sqlite:./not.db", "--name", "app"}},
		{exitNotFound, "no source|app", []string{"restore", "shop", "--into", "new"}},
		{exitUsage, "10 minutes ago", restore("--to", "next tuesday")},
		{exitUnreachable, "nearest", restore("--to", "2020-01-01T00:00:00Z")},
		{exitUnreachable, "nearest", restore("--to", "txid:99999999")},
		{exitKey, "it can be read with the key of", restore("--key", "foreign.key")},
		{exitKey, "--key", restore("--key", "absent.key")},
		{exitKey, "AGE-SECRET-KEY-1", restore("--key", "not.key")},
		{exitKey, "AGE-SECRET-KEY-1", restore("--key", "empty.key")},
		{exitKey, "AGE-SECRET-KEY-1", restore("--key", "repo")},
		{exitNotFound, "mounted", []string{"check", "app", "--store", "./nowhere"}},
		{exitEnvironment, "not empty", []string{"restore", "app", "--into", "."}},
	} {
		s.refused(x.code, x.words, x.args...)
	}
	if _, err := os.Stat(s.path("new")); err == nil {
		t.Error("a restore that was refused left its folder behind")
	}

	own, err := os.ReadFile(s.path("backstay.key"))
	if err != nil {
		t.Fatal(err)
	}
	s.file("both.key", foreign+string(own))
	if err := os.Remove(s.path("backstay.key")); err != nil {
		t.Fatal(err)
	}
	s.refused(exitKey, "backstay.key", restore()...)
	s.refused(exitKey, "--key", "drill", "app")
	s.refused(exitKey, "--key", "check", "app", "--deep")
	s.check()
	s.run(restore("--key", "both.key")...)
	all := s.ledger()
	if got, want := s.orders(s.path("new/app.db")), all[len(all)-1].n; got != want {
		t.Errorf("a key file with several keys restored %d orders of %d", got, want)
	}
	s.refused(exitEnvironment, "not empty", restore("--key", "both.key")...)
	s.refused(exitEnvironment, "not a folder", "restore", "app", "--into", "new/app.db", "--key", "both.key")
}

// TestUnknownYAMLKeys names the nearest valid one, and the place.
func TestUnknownYAMLKeys(t *testing.T) {
	s := newShop(t, "wal", 50)
	for bad, words := range map[string]string{
		"repositorys: { local: { store: ./repo } }":  `unknown key "repositorys"|backstay.yaml:1:1|did you mean repositories?`,
		"repositories: { local: { stroe: ./repo } }": `unknown key "stroe"|did you mean store?`,
		"repositories: { local: { store: ./repo } }\nsources:\n  app: { url: \"sqlite:./app.db\", repositories: [locl] }": `"locl"|did you mean local?`,
	} {
		s.file("backstay.yaml", bad)
		s.refused(exitConfig, words, "status")
		s.refused(exitConfig, words, "run")
	}
}

// TestTheHintOfATargetIsReachable takes the nearest points from the message, and restores to them.
func TestTheHintOfATargetIsReachable(t *testing.T) {
	s := newShop(t, "wal", 50)
	s.begin()
	s.protected()
	s.rest()
	s.protected()
	s.stop()
	for target, want := range map[string]int{"2020-01-01T00:00:00Z": -1, "2099-01-01T00:00:00Z": s.ledger()[len(s.ledger())-1].n} {
		_, out := s.exit("restore", "app", "--to", target, "--into", "new")
		_, hint, _ := strings.Cut(string(out), "hint: ")
		_, hint, _ = strings.Cut(hint, " it: ")
		at, _, _ := strings.Cut(hint, " ")
		if at == "" {
			t.Fatalf("the refusal of %s names no moment:\n%s", target, out)
		}
		if got := s.restore(at); want >= 0 && got != want {
			t.Errorf("restored to %s, which the hint names: %d orders, want %d", at, got, want)
		}
	}
}

func (s *shop) file(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// newKey is a key file of somebody else.
func newKey(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.String() + "\n"
}
