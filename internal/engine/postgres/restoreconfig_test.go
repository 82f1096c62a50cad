//go:build unix

package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
