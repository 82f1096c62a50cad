package member

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestLogIsFetchedWhileARewindWorks: whole segments come to lie in pg_wal as the primary has them, and nothing where the rewind failed.
func TestLogIsFetchedWhileARewindWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	old := pgtest.New(t, pgtest.Options{Settings: map[string]string{"wal_keep_size": "256MB"}})
	next := old.Standby(t, "db2")
	next.CatchUp(t)
	s := serverOf(t, next, nil)
	s.c.Name = "db2"
	must(t, s.Detach(t.Context()))
	must(t, Halt(t.Context(), old.Dir))
	must(t, s.Lead(t.Context(), agent.Lead{Timeline: 2, Others: []string{"db1"}}, yes))
	for range 4 {
		next.Exec(t, "create table if not exists filler (n int)", "insert into filler select generate_series(1, 20000)", "select pg_switch_wal()")
	}
	back := serverOf(t, old, map[string]string{"db2": wayTo(next)})
	up, err := back.upstream(t.Context(), "db2")
	must(t, err)
	defer up.close()
	size, err := segmentSize(old.Dir)
	must(t, err)
	beside, _, err := back.besideLog()
	must(t, err)
	for _, rewound := range []bool{false, true} {
		a := back.fetchAhead(t.Context(), "db2", up, size)
		if a == nil {
			t.Fatal("nothing is fetched")
		}
		a.wait.Wait()
		n, err := a.end(rewound)
		if must(t, err); n != len(a.done) && rewound || n != 0 && !rewound || len(a.done) < 3 {
			t.Errorf("rewound %v: %d of %v", rewound, n, a.done)
		}
		for _, name := range a.done {
			want, err := os.ReadFile(filepath.Join(next.Dir, "pg_wal", name))
			must(t, err)
			if got, err := os.ReadFile(filepath.Join(old.Dir, "pg_wal", name)); rewound != bytes.Equal(got, want) {
				t.Errorf("rewound %v: %s has %d bytes, %v", rewound, name, len(got), err)
			}
		}
		if _, err := os.Stat(beside); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", beside, err)
		}
	}
}
