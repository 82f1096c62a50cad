package member

import (
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
)

func TestSettingsOfAServerThatDoesNotRun(t *testing.T) {
	const old = "# Do not edit\nport = '1'\nprimary_conninfo='a=b'\nwork_mem = '4MB'\nprimary_conninfo = 'c'"
	got := withSettings(old, map[string]string{"primary_conninfo": `host='it''s\here'`, "hot_standby": "on"})
	want := "# Do not edit\nport = '1'\nwork_mem = '4MB'\nhot_standby = 'on'\nprimary_conninfo = 'host=''it''''s\\\\here'''\n"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestTheLastWordOfAFileCounts: what the server or withSettings wrote last.
func TestTheLastWordOfAFileCounts(t *testing.T) {
	want := map[string]string{"primary_conninfo": "", "restore_command": `a 'b' \c`}
	written := withSettings("port = '1'\n", want)
	for text, is := range map[string]bool{
		written: true, written + "primary_conninfo = 'host=a'\n": false, "primary_conninfo = 'host=a'\n" + written: true,
		"primary_conninfo = ''\n": false, "": false,
	} {
		if got := hasSettings(text, want); got != is {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestArgumentsOfTheLastStart(t *testing.T) {
	for text, want := range map[string][]string{
		`/usr/lib/postgresql/15/bin/postgres "-D" "/var/lib/data dir" "-c" "config_file=/etc/a b.conf"` + "\n": {"-c", "config_file=/etc/a b.conf"},
		`/bin/postgres "-D/data" "-p" "5433"`: {"-p", "5433"},
		`/bin/postgres`:                       nil,
		``:                                    nil,
	} {
		if got := parseOpts(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzWhatOthersWrote(f *testing.F) {
	f.Add(`/bin/postgres "-D" "/data" "-c" "a=b"`)
	f.Add(`host=a application_name='db2' fallback_application_name='of it\'s \\ here'`)
	f.Fuzz(func(t *testing.T, text string) {
		if slices.Contains(parseOpts(text), "-D") && !strings.Contains(text, `"-D"`) {
			t.Errorf("%q has no -D", text)
		}
		followed(text)
		if got := withSettings(text, map[string]string{"port": "1"}); !strings.HasSuffix(got, "port = '1'\n") {
			t.Errorf("%q has no port at its end", got)
		}
	})
}

func TestWhomAStandbyFollowsIsRead(t *testing.T) {
	for _, name := range []string{"db1", `it's \ "odd"`, "ü"} {
		s := &Server{c: Config{Name: "me", Members: map[string]string{name: "host=a"}}}
		conninfo, err := s.conninfo(name)
		if err != nil || followed(conninfo) != name {
			t.Errorf("%q: %q, %v", name, followed(conninfo), err)
		}
	}
	if got := followed("host=a application_name='db1'"); got != "" {
		t.Errorf("somebody else's conninfo follows %q", got)
	}
}

func TestSlotsAndQuorumsHaveNamesThatTheServerTakes(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"db1", "DB1", "db-1", "db_1", strings.Repeat("long", 30), "ü"} {
		got := slot(name)
		if !replication.ValidSlotName(got) || seen[got] {
			t.Errorf("%q gets the slot %q", name, got)
		}
		seen[got] = true
	}
	for _, c := range []struct {
		q    cluster.Quorum
		want string
	}{
		{cluster.Quorum{}, ""},
		{cluster.Quorum{K: 1, Names: []string{"db2", `d"3`}}, `ANY 1 ("db2", "d""3")`},
	} {
		if got := names(c.q); got != c.want {
			t.Errorf("%+v: %s, want %s", c.q, got, c.want)
		}
	}
}
