package postgres

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

func TestURLs(t *testing.T) {
	for _, bad := range []string{
		"postgres://u:secret@h/db", "postgres://u@h/db?password=secret", "postgres://u@h?sslpassword=secret", "mysql://h", "postgres://u:secret@h:x/db",
		"postgres://u@h?sslmode=nonsense", "postgres://u@h?auth=secret", "postgres://u@[secret",
	} {
		_, err := parseURL(bad)
		if err == nil {
			t.Errorf("%s was taken", bad)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(hint(err), "secret") {
			t.Errorf("%s: the error shows the secret: %v", bad, err)
		}
	}
	c, err := parseURL("postgres://backstay@db1:5433?application_name=second&replication=database")
	if err != nil || c.Host != "db1" || c.Port != 5433 || c.Database != "postgres" || c.RuntimeParams["application_name"] != "second" || c.RuntimeParams["replication"] != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestConnectSaysWhatIsMissing(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Settings: map[string]string{"max_replication_slots": "1", "max_wal_senders": "2"}})
	c.Exec(t, "create role nobody login")
	refused := func(url, text, help string) {
		t.Helper()
		s, err := Engine{}.Connect(t.Context(), url, engine.Options{Name: "shop"})
		if err == nil {
			err = s.Follow(t.Context(), here(t, s.(*Source)), func(context.Context, []engine.Piece) error { return nil })
		}
		if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(hint(err), help) {
			t.Errorf("%v, hint %q; want %q and %q", err, hint(err), text, help)
		}
	}
	refused(c.SocketURL("nobody"), "", "ALTER ROLE nobody REPLICATION;")
	refused(c.SocketURL("stranger"), "does not exist", "CREATE ROLE stranger")
	c.Exec(t, "select pg_create_physical_replication_slot('other')")
	refused(c.SocketURL(pgtest.Backup), "slots", "max_replication_slots")
	c.Exec(t, "select pg_drop_replication_slot('other')")
	c.HBA(t, "local all all trust\n")
	c.Reload(t)
	refused(c.SocketURL(pgtest.Backup), "pg_hba.conf", "host replication backstay")
	c.HBA(t, "local all all trust\nlocal replication all trust\n")
	c.Set(t, map[string]string{"max_wal_senders": "0", "wal_level": "minimal"})
	c.Restart(t)
	refused(c.SocketURL(pgtest.Backup), "max_wal_senders", "wal_level = replica")
	url := c.SocketURL(pgtest.Backup)
	c.Stop(t)
	refused(url, "connect to", "is the server running")
}

func TestConnectWithAPasswordFile(t *testing.T) {
	takesLong(t)
	c := pgtest.New(t, pgtest.Options{})
	file := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(file, []byte("*:*:*:"+pgtest.Backup+":"+pgtest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(c.URL(pgtest.Backup), ":not%20a%20secret@", "@", 1)
	if _, err := (Engine{}).Connect(t.Context(), c.URL(pgtest.Backup), engine.Options{}); err == nil || !strings.Contains(hint(err), "PGPASSFILE") {
		t.Errorf("a password in the URL: %v, hint %q", err, hint(err))
	}
	if _, err := (Engine{}).Connect(t.Context(), url, engine.Options{}); err == nil || !strings.Contains(hint(err), "pgpass") {
		t.Errorf("no password: %v, hint %q", err, hint(err))
	}
	t.Setenv("PGPASSFILE", file)
	s, err := Engine{}.Connect(t.Context(), url, engine.Options{Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Identify(t.Context())
	if err != nil || id.SystemID == "" || !strings.HasPrefix(id.Version, "PostgreSQL 15.") || id.Bytes == 0 || id.Mode != "stream" {
		t.Errorf("%+v, %v", id, err)
	}
	var texts []string
	for _, a := range id.Advice {
		texts = append(texts, a.Severity+": "+a.Text)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"warning: fsync is off", "warning: max_slot_wal_keep_size is -1", "info: data checksums are off", "info: commits do not wait"} {
		if !strings.Contains(all, want) {
			t.Errorf("no advice %q in\n%s", want, all)
		}
	}
	if c.Ask(t, "select count(*)::text from pg_replication_slots") != "0" {
		t.Error("to connect made a slot")
	}
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]string{"0": "0s", "1min": "1m0s", "500ms": "500ms", "2h": "2h0m0s", "30s": "30s", "1d": "24h0m0s", "100": "100ms"} {
		if d, err := parseDuration(s); err != nil || d.String() != want {
			t.Errorf("%s: %s, %v", s, d, err)
		}
	}
	for _, bad := range []string{"", "min", "1y", "-1s", "9999999999s"} {
		if d, err := parseDuration(bad); err == nil {
			t.Errorf("%q was read as %s", bad, d)
		}
	}
}

// TestConnectWithAReferenceToAPassword: env and file, as with the other engines; it is found for each connection anew.
func TestConnectWithAReferenceToAPassword(t *testing.T) {
	takesLong(t)
	c := pgtest.New(t, pgtest.Options{})
	url := strings.Replace(c.URL(pgtest.Backup), ":not%20a%20secret@", "@", 1)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(pgtest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSWORD", "wrong") // the URL counts
	t.Setenv("SHOP_PASSWORD", pgtest.Password)
	for _, auth := range []string{"env:SHOP_PASSWORD", "file:" + file} {
		if _, err := (Engine{}).Connect(t.Context(), url+"&auth="+auth, engine.Options{Name: "shop"}); err != nil {
			t.Errorf("with auth=%s: %v", auth, err)
		}
		l, err := Engine{}.Member(url + "&auth=" + auth)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Look(t.Context()); err != nil {
			t.Errorf("a look with auth=%s: %v", auth, err)
		}
		_ = l.Close()
	}
	if _, err := (Engine{}).Connect(t.Context(), url+"&auth=env:NOWHERE", engine.Options{Name: "shop"}); err == nil || !strings.Contains(err.Error(), "NOWHERE") {
		t.Errorf("a variable that is not set: %v", err)
	}
}
