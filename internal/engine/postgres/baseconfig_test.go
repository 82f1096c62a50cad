package postgres

import (
	"slices"
	"strings"
	"testing"
)

// FuzzSettings reads a postgresql.conf: a value that is written as the server quotes them is read back, and whatever a file
// says, an include has a path that its text named.
func FuzzSettings(f *testing.F) {
	f.Add("include 'conf.d/a.conf'\ninclude_if_exists = b.conf # and this\nInclude_Dir='conf.d'\n")
	f.Add("listen_addresses = 'it''s \\'quoted\\''\n#include 'no.conf'\ninclude\n")
	f.Add("include 'open\ninclude_dir=\ninclude = '' \\'\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, i := range settingIncludes(text) {
			if i.path == "" || len(i.path) > len(text) || strings.Contains(i.path, "\n") {
				t.Errorf("%q includes %+v", text, i)
			}
		}
		if strings.Contains(text, "\n") || strings.TrimSpace(text) == "" {
			return
		}
		quoted := "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(text) + "'"
		if got := settingValue(quoted + " # " + text); got != text {
			t.Errorf("%s is read as %q, want %q", quoted, got, text)
		}
		want := []include{{path: text, folder: true}}
		if got := settingIncludes("a = b\n include_dir " + quoted + "\n"); !slices.Equal(got, want) {
			t.Errorf("include_dir %s gives %+v, want %+v", quoted, got, want)
		}
	})
}

// FuzzRules reads a pg_hba.conf or pg_ident.conf.
func FuzzRules(f *testing.F) {
	f.Add("local @databases,all @roles peer\ninclude_if_exists more.conf\ninclude_dir \"hba.d\" # of 16\n")
	f.Add("local @\"\" all peer\ninclude \"\"\n") // names nothing, and its folder is no file
	f.Add("host all \"@not\" 127.0.0.1/32 scram-sha-256\n@first\nlocal , @,@\"x\" trust\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, i := range ruleIncludes(text) {
			if i.path == "" || strings.ContainsAny(i.path, " \t\n#") || !strings.Contains(text, i.path) {
				t.Errorf("%q includes %+v", text, i)
			}
		}
	})
}
