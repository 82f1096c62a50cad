package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

func connectBase(t *testing.T, url string) *Source {
	t.Helper()
	s, err := Engine{}.Connect(t.Context(), url, engine.Options{Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*Source)
}

func TestTheWayDependsOnWhatTheRoleMay(t *testing.T) {
	long(t)
	c := pgtest.New(t, pgtest.Options{Checksums: true, Settings: map[string]string{"wal_keep_size": "64MB"}})
	system := c.Ask(t, "select system_identifier from pg_control_system()")
	t.Setenv("PGPASSWORD", pgtest.Password)
	for _, x := range []struct {
		name, url, hba string
		files, streams int64
	}{
		{"superuser", c.SocketURL(pgtest.Admin), "", 1, 0},
		{"may replicate", strings.Replace(c.URL(pgtest.Backup), ":"+strings.ReplaceAll(pgtest.Password, " ", "%20")+"@", "@", 1), "", 0, 1},
		{"may do nothing else", c.SocketURL(pgtest.Backup), "local all postgres trust\nlocal replication all trust\n", 0, 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			if x.hba != "" {
				c.HBA(t, x.hba)
				c.Reload(t)
			}
			s := connectBase(t, x.url)
			sink := &folderSink{dir: pgtest.Folder(t)}
			r, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink)
			if err != nil {
				t.Fatal(err)
			}
			if n := s.Counters(); n.FileBases != x.files || n.StreamBases != x.streams {
				t.Errorf("%d bases by files and %d by stream", n.FileBases, n.StreamBases)
			}
			if r.Base.SystemID != system || r.Base.Bytes < 20<<20 || !r.Base.Start.Before(r.Base.Stop) || r.Damage != nil {
				t.Errorf("result %+v", r)
			}
			if at := r.Bookmark.Position; at.Seq%(16<<20) != 0 || r.Base.Start.Seq-at.Seq >= 16<<20 || r.Bookmark.Time.IsZero() {
				t.Errorf("it is to be followed from %s, and begins at %s", at, r.Base.Start)
			}
			if r.Base.StopTime.Before(r.Base.StartTime) || c.Ask(t, "select clock_timestamp() - $1::timestamptz between '0s' and '60s'", r.Base.StopTime.Format("2006-01-02T15:04:05.999999Z07:00")) != "t" {
				t.Errorf("from %s to %s, which is not by the server's clock", r.Base.StartTime, r.Base.StopTime)
			}
			verify(t, c, sink.dir)
		})
	}
}

// badSink fails after some files.
type badSink struct{ left int }

var errSink = errors.New("the store is full")

func (s *badSink) Put(context.Context, engine.File, io.Reader) error {
	if s.left--; s.left < 0 {
		return errSink
	}
	return nil
}

func TestASinkThatFailsLeavesNoBackupBehind(t *testing.T) {
	long(t)
	c := pgtest.New(t, pgtest.Options{})
	for _, role := range []string{pgtest.Admin, pgtest.Backup} {
		s := connectBase(t, c.SocketURL(role))
		if _, err := s.TakeBase(t.Context(), engine.BaseOptions{}, &badSink{left: 20}); !errors.Is(err, errSink) {
			t.Errorf("%s: %v", role, err)
		}
		sink := &folderSink{dir: pgtest.Folder(t)}
		if _, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink); err != nil {
			t.Errorf("%s, the next one: %v", role, err)
		}
	}
}

// mapConfig is a host with files in memory.
type mapConfig map[string]string

func (m mapConfig) read(_ context.Context, file string) ([]byte, error) {
	if text, ok := m[file]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func (m mapConfig) list(_ context.Context, folder string) (names []string, err error) {
	for name := range m {
		if rest, ok := strings.CutPrefix(name, folder+"/"); ok && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	if names == nil {
		return nil, fs.ErrNotExist
	}
	return names, nil
}

func TestConfigurationIsCollectedWithWhatItIncludes(t *testing.T) {
	host := mapConfig{
		"/etc/pg/postgresql.conf": "# include 'no'\nport = 5432\ninclude_dir = 'conf.d'\nInclude 'it''s.conf' # here\ninclude_if_exists = missing.conf\ninclude '/data/in.conf'\n",
		"/etc/pg/conf.d/b.conf":   "include 'c.conf'\n", "/etc/pg/conf.d/a.conf": "include '../postgresql.conf'\n", "/etc/pg/conf.d/.x.conf": "", "/etc/pg/conf.d/notes": "",
		"/etc/pg/conf.d/c.conf": "include '/srv/shared.conf'", "/etc/pg/it's.conf": "", "/srv/shared.conf": "a = 1",
		"/etc/pg/hba": "local @dbs +group,@roles trust\ninclude hba.more\ninclude_dir \"hba.d\"\n", "/etc/pg/dbs": "a b", "/etc/pg/roles": "c", "/etc/pg/hba.more": "",
		"/etc/pg/hba.d/1.conf": "", "/data/pg_ident.conf": "", "/data/in.conf": "include '/etc/pg/late.conf'", "/etc/pg/late.conf": "",
	}
	files, err := collectConfig(t.Context(), host, configPlaces{dataDir: "/data", config: "/etc/pg/postgresql.conf", hba: "/etc/pg/hba", ident: "/data/pg_ident.conf"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range files {
		got[strings.TrimPrefix(f.name, configFolder+"/")] = true
	}
	want := []string{"conf.d/a.conf", "conf.d/b.conf", "conf.d/c.conf", "dbs", "hba.d/1.conf", "hba.more", "it's.conf", "other/data/in.conf", "other/etc/pg/late.conf", "other/srv/shared.conf",
		"pg_hba.conf", "postgresql.conf", "roles"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) || len(files) != len(want) {
		t.Errorf("got  %q\nwant %q", names, want)
	}
	own := mapConfig{
		"/data/postgresql.conf": "include_dir '/etc/pg/conf.d'\ninclude 'in.conf'\ninclude '/data/whole.conf'\ninclude '../beside.conf'\n", "/data/in.conf": "include '/srv/deep.conf'",
		"/data/whole.conf": "include 'part.conf'", "/data/part.conf": "", "/beside.conf": "", "/etc/pg/conf.d/a.conf": "include 'b.inc'", "/etc/pg/conf.d/b.inc": "", "/srv/deep.conf": "",
		"/data/rules": "local @dbs all trust", "/data/dbs": "", "/data/pg_ident.conf": "", "/data/pg_hba.conf": "not in force",
	}
	files, err = collectConfig(t.Context(), own, configPlaces{dataDir: "/data", config: "/data/postgresql.conf", hba: "/data/rules", ident: "/data/pg_ident.conf"})
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, f := range files {
		kept = append(kept, strings.TrimPrefix(f.name, configFolder+"/"))
	}
	slices.Sort(kept)
	if want := []string{"other/beside.conf", "other/data/part.conf", "other/data/whole.conf", "other/etc/pg/conf.d/a.conf", "other/etc/pg/conf.d/b.inc", "other/srv/deep.conf", "pg_hba.conf"}; !slices.Equal(kept, want) {
		t.Errorf("of a server with its own postgresql.conf: %q\nwant %q", kept, want)
	}
	delete(host, "/etc/pg/hba")
	if _, err := collectConfig(t.Context(), host, configPlaces{dataDir: "/data", config: "/etc/pg/postgresql.conf", hba: "/etc/pg/hba", ident: "/data/pg_ident.conf"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing pg_hba.conf: %v", err)
	}
}

// TestABaseOutlivesIdleSessions takes a base that lasts longer than the server lets a session rest.
func TestABaseOutlivesIdleSessions(t *testing.T) {
	long(t)
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Debian: true, Settings: map[string]string{"idle_session_timeout": "4s"}})
	c.Exec(t, "grant pg_read_all_settings, pg_read_server_files to backstay", "grant execute on function pg_read_binary_file(text, bigint, bigint, boolean), pg_ls_dir(text) to backstay")
	s := connectBase(t, c.SocketURL(pgtest.Backup))
	slept := false
	sink := &folderSink{dir: pgtest.Folder(t), before: func(string) {
		if !slept {
			slept = true
			time.Sleep(6 * time.Second)
		}
	}}
	if _, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink); err != nil || s.Counters().StreamBases != 1 {
		t.Fatalf("%d bases over the network, %v", s.Counters().StreamBases, err)
	}
	if !slices.Contains(sink.names, configFolder+"/pg_hba.conf") {
		t.Error("the configuration is not in the base")
	}
	verify(t, c, sink.dir)
}

// TestABusyServerIsNoRefusal takes no base without configuration because the server has no connection to give at the moment.
func TestABusyServerIsNoRefusal(t *testing.T) {
	long(t)
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Debian: true})
	s := connectBase(t, c.SocketURL(pgtest.Backup))
	c.Exec(t, "alter role backstay connection limit 0") // walsenders are not counted
	_, err := s.TakeBase(t.Context(), engine.BaseOptions{}, &folderSink{dir: pgtest.Folder(t)})
	if err == nil || !strings.Contains(err.Error(), "too many connections for role") || !strings.Contains(hint(err), "max_connections") || s.Counters().StreamBases != 0 {
		t.Errorf("a base of a server that has no connection left: %v, hint %q", err, hint(err))
	}
	c.Exec(t, "alter role backstay connection limit -1")
	if _, err := s.TakeBase(t.Context(), engine.BaseOptions{}, &folderSink{dir: pgtest.Folder(t)}); err != nil {
		t.Error(err)
	}
}

// slowSink stands still at its first file until it is released.
type slowSink struct {
	folderSink
	release chan struct{}
}

func (s *slowSink) Put(ctx context.Context, f engine.File, r io.Reader) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.release:
		return s.folderSink.Put(ctx, f, r)
	}
}

// TestALineIsFollowedWhileItsBaseIsTaken follows the log from where the base begins before that is copied, and the server brings the base to
// the end of both. A base whose slot is lost ends at once.
func TestALineIsFollowedWhileItsBaseIsTaken(t *testing.T) {
	takesLong(t)
	t.Parallel()
	for _, role := range []string{pgtest.Admin, pgtest.Backup} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c := pgtest.New(t, pgtest.Options{Settings: map[string]string{"wal_keep_size": "1GB"}})
			s := connectBase(t, c.SocketURL(role))
			c.Exec(t, "create table t (i int)")
			sink := &slowSink{folderSink: folderSink{dir: pgtest.Folder(t)}, release: make(chan struct{})}
			begun := make(chan engine.Begun, 1)
			type result struct {
				engine.BaseResult
				err error
			}
			results := make(chan result, 1)
			take := func(o engine.BaseOptions, sink engine.BaseSink) {
				r, err := s.TakeBase(t.Context(), o, sink)
				results <- result{r, err}
			}
			go take(engine.BaseOptions{Begun: func(b engine.Begun) error { begun <- b; return nil }}, sink)
			at := <-begun
			b := newBook(at.Bookmark)
			f := follow(t, s, b)
			c.Exec(t, "insert into t select generate_series(1, 1000)")
			b.settled(t)
			close(sink.release)
			r := <-results
			if r.err != nil || !r.Bookmark.Position.Equal(at.Bookmark.Position) || !r.Bookmark.Time.Equal(at.Bookmark.Time) || at.Stands.Before(at.Bookmark.Position) {
				t.Fatalf("%+v, %v; it began with %+v", r.Bookmark, r.err, at)
			}
			b.settled(t)
			f.stop()
			b.holds(t, c)
			if got := recoverBase(t, c, &takenBase{start: wal.LSN(r.Base.Start.Seq)}, sink.dir).Ask(t, "select count(*) from t"); got != "1000" {
				t.Errorf("%s rows were recovered", got)
			}

			stuck := &slowSink{release: make(chan struct{})}
			go take(engine.BaseOptions{NewTimeline: true, After: b.at().Position, Begun: func(b engine.Begun) error { begun <- b; return nil }}, stuck)
			<-begun
			c.Exec(t, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '"+s.slot+"'")
			if r := <-results; !errors.As(r.err, new(*lostPin)) {
				t.Errorf("a base that lost its slot while it was copied: %v", r.err)
			}
			refused := errors.New("not there")
			go take(engine.BaseOptions{Begun: func(engine.Begun) error { return refused }}, stuck)
			if r := <-results; !errors.Is(r.err, refused) {
				t.Errorf("a base that must not begin where it does: %v", r.err)
			}
		})
	}
}

// TestConfigurationIncludedFromOutsideIsKept takes bases of a server whose own files lie in the data directory and include others.
func TestConfigurationIncludedFromOutsideIsKept(t *testing.T) {
	long(t)
	t.Parallel()
	folder := pgtest.Folder(t)
	more := filepath.Join(folder, "more.conf")
	if err := errors.Join(os.WriteFile(more, []byte("work_mem = '7MB'\n"), 0o600), pgtest.Owner(t).Give(more)); err != nil {
		t.Fatal(err)
	}
	c := pgtest.New(t, pgtest.Options{})
	c.Exec(t, "create role reader login superuser", "create role seer login replication", "grant pg_read_all_settings to seer")
	var told bytes.Buffer
	bases := func(role, want string) {
		t.Helper()
		told.Reset()
		one, err := Engine{}.Connect(t.Context(), c.SocketURL(role), engine.Options{Name: "shop", Log: slog.New(slog.NewTextHandler(&told, nil))})
		if err != nil {
			t.Fatal(err)
		}
		sink := &folderSink{dir: pgtest.Folder(t)}
		if _, err := one.TakeBase(t.Context(), engine.BaseOptions{}, sink); err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(filepath.Join(sink.dir, configFolder, "other", more))
		warned := strings.Contains(told.String(), "configuration outside the data directory is not in the base")
		if string(text) != want || warned != (role == "seer" && c.Ask(t, "show work_mem") == "7MB") {
			t.Errorf("of %s the base has %q, want %q; it says %s", role, text, want, told.String())
		}
		verify(t, c, sink.dir)
	}
	bases("seer", "") // nothing lies outside, and nothing is told
	c.Set(t, map[string]string{"include_dir": folder})
	c.Reload(t)
	enginetest.Until(t, waitLimit, "the file to count", func() bool { return c.Ask(t, "show work_mem") == "7MB" })
	bases("reader", "work_mem = '7MB'\n")
	bases("seer", "") // it may not read files, and that is told
	grants := regexp.MustCompile(`GRANT [^;]+;`).FindAllString(told.String(), -1)
	if len(grants) != 2 {
		t.Fatalf("it says %s, and not what to run", told.String())
	}
	c.Exec(t, grants...)
	read := connectBase(t, c.SocketURL("seer"))
	sink := &folderSink{dir: pgtest.Folder(t)}
	if _, err := read.TakeBase(t.Context(), engine.BaseOptions{}, sink); err != nil || !slices.Contains(sink.names, path.Join(configFolder, "other", more)) {
		t.Errorf("over the network: %v, %q", err, sink.names)
	}
}
