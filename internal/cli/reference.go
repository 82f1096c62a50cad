package cli

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/backstaydb/backstay/internal/config"
)

// page is one generated file of docs/reference.
type page struct {
	name string
	text string
}

// reference makes all pages, in a fixed order and without anything that changes from build to build.
func reference(root *cobra.Command) []page {
	return []page{
		{"README.md", "# Reference\n\nMade by `make docs` from the tables in the code; do not edit.\n\n- [Commands](commands.md)\n- [Exit codes](exit-codes.md)\n- [JSON fields](json.md)\n- [backstay.yaml](config.md), as [JSON schema](backstay.schema.json)\n- [The man page](backstay.1)\n"},
		{"commands.md", commandsPage(root)},
		{"exit-codes.md", exitPage()},
		{"json.md", jsonPage()},
		{"config.md", configPage()},
		{"backstay.schema.json", string(config.Schema())},
		{"backstay.1", manPage(root)},
	}
}

// shown lists the commands that people are told about, parents before children.
func shown(cmd *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, sub := range cmd.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		out = append(append(out, sub), shown(sub)...)
	}
	return out
}

func commandsPage(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Commands\n\n%s\n\n| command | does |\n|---|---|\n", root.Long)
	all := shown(root)
	for _, cmd := range all {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", cmd.UseLine(), strings.ReplaceAll(cmd.CommandPath(), " ", "-"), cmd.Short)
	}
	b.WriteString("| `backstay completion bash` | Print the completion script; `zsh`, `fish` and `powershell` too |\n")
	for _, cmd := range all {
		fmt.Fprintf(&b, "\n## %s\n\n`%s`\n\n", cmd.CommandPath(), cmd.UseLine())
		fmt.Fprintf(&b, "```text\n%s\n```\n", cmd.Long)
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimSpace(cmd.Example), "\n  ", "\n"))
		}
		rows := flagRows(cmd)
		if len(rows) > 0 {
			b.WriteString("\n| option | default | meaning |\n|---|---|---|\n")
		}
		for _, r := range rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r[0], code(r[1]), r[2])
		}
	}
	return b.String()
}

// flagRows gives option, default and meaning of each flag of cmd.
func flagRows(cmd *cobra.Command) [][3]string {
	var rows [][3]string
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		option := "--" + f.Name
		if name != "" {
			option += " " + name
		}
		def := f.DefValue
		if def == "false" || def == "[]" || def == "0s" {
			def = ""
		}
		rows = append(rows, [3]string{option, def, usage})
	})
	return rows
}

func exitPage() string {
	var b strings.Builder
	b.WriteString("# Exit codes\n\n| code | name | meaning |\n|---|---|---|\n")
	for _, e := range exits {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", e.code, e.name, e.meaning)
	}
	return b.String()
}

func jsonPage() string {
	var b strings.Builder
	b.WriteString("# JSON fields\n\nWhat `--json` prints. Field names are a contract: they stay, and new ones may join them. Units stand in the names: `_seconds`,\n`_bytes`. Times are RFC 3339; positions are `timeline/sequence`, with `@` and the engine's own spelling behind where it has one.\n")
	seen := map[reflect.Type]bool{}
	for _, s := range shapes {
		fmt.Fprintf(&b, "\n## %s\n\n", s.command)
		structTable(&b, reflect.TypeOf(s.value), seen)
	}
	return b.String()
}

// structTable writes one table for t and one for each struct in it that no table showed yet.
func structTable(b *strings.Builder, t reflect.Type, seen map[reflect.Type]bool) {
	list := t.Kind() == reflect.Slice
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if list {
		b.WriteString("A list of:\n\n")
	}
	if seen[t] {
		fmt.Fprintf(b, "The fields of `%s`, as above.\n", strings.ToLower(t.Name()))
		return
	}
	seen[t] = true
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	var inner []reflect.Type
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || f.Anonymous {
			continue
		}
		kind, sub := jsonType(f.Type)
		if sub != nil && !seen[sub] {
			inner = append(inner, sub)
		}
		doc := f.Tag.Get("doc")
		if doc == "" {
			doc = meanings[t][name]
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, kind, doc)
	}
	for _, sub := range inner {
		if !seen[sub] {
			fmt.Fprintf(b, "\n### %s\n\n", strings.ToLower(sub.Name()))
			structTable(b, sub, seen)
		}
	}
}

// jsonType names the JSON type of t, and the struct inside it that needs a table of its own.
func jsonType(t reflect.Type) (string, reflect.Type) {
	if t == reflect.TypeFor[time.Time]() || t == reflect.TypeFor[*time.Time]() {
		return "time", nil
	}
	if t.Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()) {
		return "text", nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.Slice:
		kind, sub := jsonType(t.Elem())
		return "list of " + kind, sub
	case reflect.Struct:
		return strings.ToLower(t.Name()), t
	case reflect.Bool:
		return "true or false", nil
	case reflect.String:
		return "text", nil
	}
	return "number", nil
}

func configPage() string {
	var b strings.Builder
	b.WriteString("# backstay.yaml\n\n```yaml\nrepositories:\n  local: { store: ./repo }\nsources:\n  app: { url: \"sqlite:./app.db\", repositories: [local] }\n```\n\nRelative paths are relative to the folder of the file. No secret stands in it.\n")
	for _, group := range []struct {
		name string
		t    reflect.Type
	}{
		{"The file", reflect.TypeFor[config.Config]()}, {"A repository", reflect.TypeFor[config.Repository]()}, {"A source", reflect.TypeFor[config.Source]()},
		{"A class, and what a source states itself", reflect.TypeFor[config.Promise]()}, {"keep", reflect.TypeFor[config.Keep]()},
		{"drill", reflect.TypeFor[config.Drill]()}, {"A check of a drill", reflect.TypeFor[config.Check]()}, {"hours", reflect.TypeFor[config.Hours]()},
		{"A hold", reflect.TypeFor[config.Hold]()}, {"An exception", reflect.TypeFor[config.Exception]()},
		{"An entry of notify", reflect.TypeFor[config.Receiver]()}, {"metrics", reflect.TypeFor[config.Metrics]()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| key | meaning |\n|---|---|\n", group.name)
		for i := range group.t.NumField() {
			f := group.t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name != "-" && name != "" {
				fmt.Fprintf(&b, "| `%s` | %s |\n", name, f.Tag.Get("doc"))
			}
		}
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
