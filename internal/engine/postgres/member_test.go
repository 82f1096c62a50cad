package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

func member(t *testing.T, c *pgtest.Cluster) engine.Looker {
	t.Helper()
	l, err := (postgres.Engine{}).Member(fmt.Sprintf("postgres://%s@127.0.0.1:%d/?sslmode=disable", pgtest.Backup, c.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestMembersSayWhoTheyAre(t *testing.T) {
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Setenv("PGPASSWORD", pgtest.Password)
	db1 := pgtest.New(t, pgtest.Options{})
	db1.Exec(t, "create role app login password 'secret'", "create role gone password 'secret'", "grant pg_monitor to "+pgtest.Backup)
	db2 := db1.Standby(t, "db2")
	one, two := member(t, db1), member(t, db2)
	s1, err := one.Look(t.Context())
	if err != nil || s1.Role != engine.RolePrimary || s1.Position.Timeline != 1 || !s1.Exact || s1.SystemID == "" {
		t.Fatalf("the primary: %+v, %v", s1, err)
	}
	db1.Exec(t, "create table t (n int)")
	db2.CatchUp(t)
	s2, err := two.Look(t.Context())
	if err != nil || s2.Role != engine.RoleReplica || s2.SystemID != s1.SystemID || s2.Position.Seq <= s1.Position.Seq || !s2.Exact || s2.Broken != "" {
		t.Fatalf("the standby: %+v, %v", s2, err)
	}

	// What is missing is told as SQL, and that SQL is all that is missing.
	needs := engine.Needs{Members: 3, Manages: true, Agent: true}
	i, err := one.(engine.Inspector).Inspect(t.Context(), needs)
	if err != nil || len(i.Missing) == 0 || i.Major < 12 || !i.Primary || i.Checksums || !i.Restart {
		t.Fatalf("inspection %+v, %v", i, err)
	}
	if _, err := one.(engine.Verifier).Verifier(t.Context(), "app"); !errors.Is(err, engine.ErrUnreadable) {
		t.Errorf("without the right verifiers are read: %v", err)
	}
	for _, sql := range append(i.Missing, i.Wishes...) {
		for statement := range strings.SplitSeq(sql, ";\n") {
			db1.Exec(t, statement) // ALTER SYSTEM takes no company
		}
	}
	db1.Restart(t)
	i, err = one.(engine.Inspector).Inspect(t.Context(), needs)
	if err != nil || len(i.Missing) > 0 || len(i.Wishes) > 0 || !i.Checksums {
		t.Errorf("after what was told was done: %+v, %v", i, err)
	}
	for role, want := range map[string]string{"app": "SCRAM-SHA-256$", "gone": "", "nobody": "", pgtest.Admin: "superuser"} {
		v, err := one.(engine.Verifier).Verifier(t.Context(), role)
		if err != nil || !strings.HasPrefix(v, want) || want == "" && v != "" {
			t.Errorf("verifier of %s: %.14q, %v", role, v, err)
		}
	}

	// The kept connection is replaced when the server was restarted, and a promotion shows at once, before any checkpoint.
	if s1, err = one.Look(t.Context()); err != nil || s1.Role != engine.RolePrimary {
		t.Errorf("after a restart: %+v, %v", s1, err)
	}
	db1.Crash(t)
	if _, err := one.Look(t.Context()); err == nil {
		t.Error("a dead server answers")
	}
	db2.Promote(t)
	if s2, err = two.Look(t.Context()); err != nil || s2.Role != engine.RolePrimary || s2.Position.Timeline != 2 {
		t.Errorf("after its promotion: %+v, %v", s2, err)
	}
}

func TestMembersAreOneServerEach(t *testing.T) {
	for raw, want := range map[string]string{
		"postgres://b@db1":                        "db1:5432",
		"postgresql://b@[::1]:5433/x":             "[::1]:5433",
		"postgres://b@db1,db2/":                   "",
		"postgres://b@/?host=/var/run/postgresql": "",
		"postgres://b:hunter2@db1/":               "",
	} {
		l, err := (postgres.Engine{}).Member(raw)
		if want == "" {
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", raw, err)
			}
			continue
		}
		if err != nil || l.Address() != want {
			t.Errorf("%s: %v, %v", raw, l, err)
		}
	}
	l, err := (postgres.Engine{}).Member("postgres://b@db1/?sslmode=require")
	if err != nil || l.(engine.Secured).TLS() == nil {
		t.Errorf("encryption that is asked for: %v", err)
	}
}
