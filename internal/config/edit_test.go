package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

var shop = Addition{
	Repositories: map[string]Repository{"local": {Store: "./repo"}},
	Sources:      map[string]Source{"app": {URL: "sqlite:./app.db", Promise: Promise{Repositories: []string{"local"}}}},
}

var far = Addition{
	Repositories: map[string]Repository{"far": {Store: "s3://bucket/prefix?endpoint=http://127.0.0.1:7070"}},
	Sources:      map[string]Source{"crm": {URL: "sqlite:./crm.db", Promise: Promise{Repositories: []string{"far"}}, Ack: AckRepository, SpoolLimit: 1 << 30, SegmentSize: 8 << 20}},
}

func TestAdd(t *testing.T) {
	const added = `crm: { url: "sqlite:./crm.db", repositories: [far], ack: repository, spool_limit: 1GiB, segment_size: 8MiB }`
	const store = `far: { store: "s3://bucket/prefix?endpoint=http://127.0.0.1:7070" }`
	for name, c := range map[string]struct {
		add       Addition
		old, want string
	}{
		"new file": {shop, "", opening + "repositories:\n  local: { store: ./repo }\nsources:\n  app: { url: \"sqlite:./app.db\", repositories: [local] }\n"},
		"again":    {shop, example, example},
		"braces": {far, example, `# The shop.
repositories: { ` + store + `, local: { store: ./repo } }
sources: { ` + added + `, app: { url: "sqlite:./app.db", repositories: [local] } }
`},
		"blocks": {far, `
sources:   # what matters
    # the shop
    app:
        url: sqlite:./app.db   # the file
        repositories: [local]
    # nothing below

repositories:
    local: {store: ./repo}
# the end`, `
sources:   # what matters
    # the shop
    app:
        url: sqlite:./app.db   # the file
        repositories: [local]
    ` + added + `
    # nothing below

repositories:
    local: {store: ./repo}
    ` + store + `
# the end`},
		"empty": {far, "sources: {}\nrepositories:\n", "sources: { " + added + " }\nrepositories:\n  " + store + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Add(Name, []byte(c.old), c.add)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAddRefusesAnotherMeaning(t *testing.T) {
	other := Addition{Sources: map[string]Source{"app": {URL: "sqlite:./other.db", Promise: Promise{Repositories: []string{"local"}}}}}
	if _, err := Add(Name, []byte(example), other); err == nil || !strings.Contains(err.Error(), "sources.app already stands there") {
		t.Errorf("error %v", err)
	}
}

func TestRemove(t *testing.T) {
	const blocks = "sources:\n  # one\n  a: { url: sqlite:a, repositories: [r] }\n  b:\n    url: sqlite:b\n    repositories: [r]\nrepositories:\n  r: { store: ./r }\n"
	got, err := Remove(Name, []byte(blocks), "b")
	if want := "sources:\n  # one\n  a: { url: sqlite:a, repositories: [r] }\nrepositories:\n  r: { store: ./r }\n"; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	got, err = Remove(Name, got, "a")
	if want := "repositories:\n  r: { store: ./r }\n"; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := Remove(Name, []byte(blocks), "c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown source: %v", err)
	}
	if _, err := Remove(Name, []byte(example), "app"); err == nil || !strings.Contains(err.Error(), "braces") {
		t.Errorf("braces: %v", err)
	}
}

func TestEditIsAtomicAndIdle(t *testing.T) {
	path := filepath.Join(t.TempDir(), Name)
	add := func(data []byte) ([]byte, error) { return Add(Name, data, shop) }
	if err := Edit(path, add); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Edit(path, add); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the second edit wrote the file again (%v)", err)
	}
}

// TestSchemaAgreesWithParse holds the published schema against the parser on the files of these tests.
func TestSchemaAgreesWithParse(t *testing.T) {
	published, err := os.ReadFile("../../docs/reference/backstay.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(published), string(Schema())); diff != "" {
		t.Fatalf("docs/reference/backstay.schema.json is old; run make docs\n%s", diff)
	}
	var schema map[string]any
	if err := json.Unmarshal(published, &schema); err != nil {
		t.Fatal(err)
	}
	for text, good := range map[string]bool{
		example:                                  true,
		promised:                                 true,
		"classes: { c: { durable_in: many } }\n": false,
		"classes: { c: { drill: { every: daily, to: [never] } } }\n": false,
		"notify: [ { to: slack, at: [loud] } ]\n":                    false,
		"sources:\n":                                     true,
		"source: {}\n":                                   false,
		"repositories: { a: { stor: x } }\n":             false,
		"repositories: { a: { } }\n":                     false,
		"repositories: { ../a: { store: x } }\n":         false,
		"sources: { a: { url: sqlite:x } }\n":            false,
		"sources: { a: { url: [x], repositories: [] } }": false,
		"repositories: { r: {store: x}}\nsources: { a: { url: sqlite:x, repositories: [r], ack: never } }":         false,
		"repositories: { r: {store: x}}\nsources: { a: { url: sqlite:x, repositories: [r], spool_limit: lots } }":  false,
		"repositories: { r: {store: x}}\nsources: { a: { url: sqlite:x, repositories: [r], spool_limit: 10GiB } }": true,
		"repositories: { r: {store: x}}\nsources: { a: { url: sqlite:x, repositories: [r], spool_limit: 1024 } }":  true,
	} {
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		_, err := Parse(Name, []byte(text))
		if (err == nil) != good || accepts(schema, value) != good {
			t.Errorf("%s: parser says %v, schema says %v, want %v", text, err, accepts(schema, value), good)
		}
	}
}

// accepts is as much of a JSON schema validator as the published schema uses.
func accepts(s map[string]any, v any) bool {
	if want, ok := s["type"]; ok && !slices.Contains(strings.Fields(strings.Trim(toString(want), "[]")), kind(v)) {
		return false
	}
	for _, kind := range []string{"anyOf", "oneOf"} {
		if of, ok := s[kind].([]any); ok && !slices.ContainsFunc(of, func(one any) bool { return accepts(one.(map[string]any), v) }) {
			return false
		}
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return false
	}
	if text, ok := v.(string); ok {
		if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
			return false
		}
	}
	if list, ok := v.([]any); ok {
		if least, ok := s["minItems"].(float64); ok && len(list) < int(least) {
			return false
		}
		return !slices.ContainsFunc(list, func(item any) bool { return !accepts(s["items"].(map[string]any), item) })
	}
	object, ok := v.(map[string]any)
	return !ok || s["properties"] == nil && s["additionalProperties"] == nil && hasAll(s, object) || acceptsObject(s, object)
}

func hasAll(s map[string]any, object map[string]any) bool {
	required, _ := s["required"].([]any)
	return !slices.ContainsFunc(required, func(name any) bool { _, ok := object[name.(string)]; return !ok })
}

func acceptsObject(s map[string]any, object map[string]any) bool {
	if !hasAll(s, object) {
		return false
	}
	properties, _ := s["properties"].(map[string]any)
	for name, value := range object {
		if names, ok := s["propertyNames"].(map[string]any); ok && !accepts(names, name) {
			return false
		}
		sub, known := properties[name].(map[string]any)
		if !known {
			sub, known = s["additionalProperties"].(map[string]any)
		}
		if !known || !accepts(sub, value) {
			return false
		}
	}
	return true
}

func toString(v any) string {
	if list, ok := v.([]any); ok {
		var words []string
		for _, w := range list {
			words = append(words, w.(string))
		}
		return strings.Join(words, " ")
	}
	return v.(string)
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case uint64, int64, int:
		return "integer"
	}
	return "other"
}
