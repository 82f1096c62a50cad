package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/config"
)

// TestWhatACaptureIsBuiltFrom says which changes of a file have the capture of a source begin anew, and which leave it alone.
func TestWhatACaptureIsBuiltFrom(t *testing.T) {
	load := func(repository, class, source string) capture {
		path := filepath.Join(t.TempDir(), config.Name)
		file := "repositories: { local: { store: ./a" + repository + " }, cold: { store: ./b }, other: { store: ./c } }\n" +
			"classes: { gold: { window: 30d" + class + " } }\n" +
			"sources: { app: { url: \"sqlite:./app.db\", class: gold, repositories: [local, other]" + source + " } }\n"
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return captured(cfg, "app")
	}
	before := load("", "", "")
	for _, c := range []struct {
		name, repository, class, source string
		same                            bool
	}{
		{name: "nothing", same: true},
		{name: "a promise", class: ", rpo: 5s", same: true},
		{name: "an owner", source: ", owner: anna", same: true},
		{name: "the rate of a line", repository: ", limit: { rate: 50MiB }", same: true},
		{name: "how many copies count, by its class", class: ", durable_in: 2"},
		{name: "where old history goes, by its class", class: ", keep: { move: { after: 60d, to: cold } }"},
		{name: "a limit of its log", source: ", spool_limit: 1GiB"},
	} {
		if after := load(c.repository, c.class, c.source); before.equal(after) != c.same {
			t.Errorf("%s: the same %t, want %t", c.name, !c.same, c.same)
		}
	}
}
