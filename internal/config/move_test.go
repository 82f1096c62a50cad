package config

import (
	"slices"
	"strings"
	"testing"
)

func TestWhereOldHistoryMayGo(t *testing.T) {
	parse := func(move string) (*Config, error) {
		return Parse(Name, []byte("repositories: { local: { store: ./repo }, cold: { store: ./cold } }\n"+
			"sources: { app: { url: \"sqlite:./app.db\", repositories: [local], window: 30d, keep: { daily: 3, "+move+" } } }\n"))
	}
	c, err := parse("move: { after: 30d, to: cold }")
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Sources["app"]; !slices.Equal(s.Everywhere(), []string{"local", "cold"}) || !slices.Equal(s.Repositories, []string{"local"}) {
		t.Errorf("everywhere %q of %q", s.Everywhere(), s.Repositories)
	}
	for move, want := range map[string]string{
		"move: { after: 29d, to: cold }":  "younger than its window",
		"move: { after: 60d, to: local }": "where all of it goes already",
		"move: { after: 60d, to: attic }": `"attic", which is not in this file`,
		"move: { to: cold }":              "",
		"move: { after: 60d }":            "",
	} {
		if _, err := parse(move); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", move, err)
		}
	}
}
