//go:build unix

package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testConfiguration(t *testing.T, w *world) {
	w = w.without(t, "postgresql.conf", "pg_hba.conf", "pg_ident.conf")
	// As a base stores what lies in /etc/postgresql.
	kept := filepath.Join(w.base, configFolder)
	for name, text := range map[string]string{
		"conf.d/more.conf":                     "work_mem = '7MB'\nshared_preload_libraries = 'plpgsql, not_here'\n",
		"other/etc/postgresql-common/all.conf": "maintenance_work_mem = '77MB'\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(kept, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(kept, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf"} {
		b, err := os.ReadFile(filepath.Join(w.cluster.Config, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "postgresql.conf" {
			b = append(b, "cluster_name = shop\ndata_directory = '/nowhere'\ninclude_dir 'conf.d'\ninclude '/etc/postgresql-common/all.conf'\nssl = on\nssl_cert_file = '/nowhere/cert.pem'\nexternal_pid_file = '/nowhere/pid'\nunix_socket_directories = '/nowhere'\n"...)
		}
		if err := os.WriteFile(filepath.Join(kept, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := w.log(t, 1<<20)
	dir, _ := w.restored(t, l, l.segments[len(l.segments)-1].To)
	conn := w.plain(t, dir)
	for name, want := range map[string]string{"cluster_name": "shop", "work_mem": "7MB", "maintenance_work_mem": "77MB", "data_directory": dir, "ssl": "off"} {
		var got string
		if err := conn.QueryRow(t.Context(), "select current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "postgresql.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"put into comments", "/nowhere/cert.pem is not on this host"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("postgresql.conf does not say %q", want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, configFolder)); err == nil {
		t.Errorf("%s was left behind", configFolder)
	}
}

// testOwnConfiguration restores a server whose postgresql.conf lay in the data directory, and named files elsewhere.
func testOwnConfiguration(t *testing.T, w *world) {
	w = w.without(t)
	for name, text := range map[string]string{
		"inside.conf": "include '/nowhere/deep.conf'\n",
		configFolder + "/other/nowhere/conf.d/more.conf": "work_mem = '7MB'\nssl = on\nssl_cert_file = '/nowhere/cert.pem'\n",
		configFolder + "/other/nowhere/deep.conf":        "maintenance_work_mem = '77MB'\n",
		configFolder + "/pg_hba.conf":                    "local all @roles trust\nlocal all postgres trust\n",
		configFolder + "/other/nowhere/roles":            "nobody\n",
		"pg_hba.conf":                                    "not in force\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(w.base, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.base, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(w.base, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("cluster_name = shop\nhba_file = '/nowhere/pg_hba.conf'\ninclude_dir '/nowhere/conf.d'\ninclude 'inside.conf'\ninclude '/nowhere/gone.conf'\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	l := w.log(t, 1<<20)
	dir, _ := w.restored(t, l, l.segments[len(l.segments)-1].To)
	conn := w.plain(t, dir)
	for name, want := range map[string]string{"cluster_name": "shop", "work_mem": "7MB", "maintenance_work_mem": "77MB", "hba_file": filepath.Join(dir, "pg_hba.conf")} {
		var got string
		if err := conn.QueryRow(t.Context(), "select current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
	var rules string
	if err := conn.QueryRow(t.Context(), "select string_agg(user_name::text, ' ' order by line_number) from pg_hba_file_rules where error is null").Scan(&rules); err != nil || !strings.Contains(rules, "{postgres}") {
		t.Errorf("rules are for %q, %v", rules, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "postgresql.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"include_dir = 'conf.other/nowhere/conf.d'", "/nowhere/gone.conf is neither in the base nor on this host"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("postgresql.conf does not say %q", want)
		}
	}
}

func TestWhatIsIncludedIsFoundWhereItWasLaid(t *testing.T) {
	dir, host := t.TempDir(), filepath.Join(t.TempDir(), "host.conf")
	laid := map[string]string{
		"postgresql.conf": "include '/etc/pg/a.conf'\ninclude '../up/b.conf'\ninclude 'sub/c.conf'\ninclude_dir 'empty'\ninclude_if_exists '/gone'\ninclude '" + host + "'\nhba_file = 'mine'\nexternal_pid_file = '/x/pid'\n",
		"sub/c.conf":      "include '/etc/pg/d''s.conf'\n", "mine": "",
		"pg_hba.conf": "local db @/etc/pg/who,@/etc/pg/whoever trust\ninclude_dir /etc/pg/hba.d\n", "pg_ident.conf": "",
		configFolder + "/other/etc/pg/a.conf":       "include '/etc/pg/d''s.conf'\nexternal_pid_file = '/x/pid'\n",
		configFolder + "/other/etc/pg/d's.conf":     "",
		configFolder + "/other/srv/up/b.conf":       "",
		configFolder + "/other/etc/pg/who":          "",
		configFolder + "/other/etc/pg/hba.d/1.conf": "",
		host: "",
	}
	for name, text := range laid {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := (facts{dir: dir}).configure(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"postgresql.conf": "# include '/etc/pg/a.conf'\ninclude = 'conf.other/etc/pg/a.conf'\n# include '../up/b.conf'\ninclude = 'conf.other/srv/up/b.conf'\ninclude 'sub/c.conf'\n# include_dir 'empty'\ninclude_if_exists '/gone'\ninclude '" + host +
			"'\nhba_file = 'mine'\nexternal_pid_file = '/x/pid'\n\n# Backstay restored this file and put into comments:\n#   line 1, include: what it names was brought along\n" +
			"#   line 2, include: what it names was brought along\n#   line 4, include_dir: empty is neither in the base nor on this host\n",
		"sub/c.conf": "# include '/etc/pg/d''s.conf'\ninclude = '../conf.other/etc/pg/d''s.conf'\n\n# Backstay restored this file and put into comments:\n#   line 1, include: what it names was brought along\n",
		"conf.other/etc/pg/a.conf": "# include '/etc/pg/d''s.conf'\ninclude = 'd''s.conf'\n# external_pid_file = '/x/pid'\n\n# Backstay restored this file and put into comments:\n#   line 1, include: what it names was brought along\n" +
			"#   line 2, external_pid_file: it belongs to the former server\n",
		"pg_hba.conf": "local db @conf.other/etc/pg/who,@/etc/pg/whoever trust\ninclude_dir conf.other/etc/pg/hba.d\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	if there(filepath.Join(dir, configFolder)) {
		t.Errorf("%s was left behind", configFolder)
	}
}

func testNoConfiguration(t *testing.T, w *world) {
	w = w.without(t, "postgresql.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.auto.conf")
	// Nobody but the server's user comes in, which this test is not.
	if err := os.WriteFile(filepath.Join(w.base, "pg_hba.conf"), []byte("local all all trust\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := w.log(t, 1<<20)
	dir, _ := w.restored(t, l, l.segments[len(l.segments)-1].To)
	requireRows(t, w.plain(t, dir), w.n)
}

// without is w with a base that lacks files.
func (w *world) without(t *testing.T, names ...string) *world {
	t.Helper()
	other := *w
	other.base = filepath.Join(t.TempDir(), "base")
	if err := os.CopyFS(other.base, os.DirFS(w.base)); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(other.base, name)); err != nil {
			t.Fatal(err)
		}
	}
	return &other
}
