//go:build unix

package postgres

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/recovery"
)

func TestReadPreload(t *testing.T) {
	installed := filepath.Join(t.TempDir(), "lib")
	write := func(root, name, text string) {
		t.Helper()
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"plpgsql.so", "one.so", "two.so", "three.so"} {
		write(installed, name, "")
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
		lacks []string
		says  string
	}{
		"nothing":                {files: map[string]string{"postgresql.conf": "#shared_preload_libraries = 'one'\n"}},
		"no configuration":       {},
		"the last counts":        {files: map[string]string{"postgresql.conf": "shared_preload_libraries = 'one'\nShared_Preload_Libraries 'two, \"three\"' # all\n"}, want: []string{"two", "three"}},
		"one is missing":         {files: map[string]string{"postgresql.conf": "shared_preload_libraries = 'one,gone'\n"}, want: []string{"one", "gone"}, lacks: []string{"gone"}, says: "take it out of shared_preload_libraries"},
		"ALTER SYSTEM wins":      {files: map[string]string{"postgresql.conf": "shared_preload_libraries = 'one'\n", "postgresql.auto.conf": "shared_preload_libraries = 'two'\n"}, want: []string{"two"}},
		"ALTER SYSTEM takes out": {files: map[string]string{"postgresql.conf": "shared_preload_libraries = 'gone'\n", "postgresql.auto.conf": "shared_preload_libraries = ''\n"}},
		"from elsewhere": {files: map[string]string{"backstay_config/postgresql.conf": "include_dir = 'conf.d'\ninclude '/etc/more.conf'\n", "backstay_config/conf.d/a.conf": "shared_preload_libraries = 'one'\n",
			"backstay_config/conf.d/b.conf": "shared_preload_libraries = 'two'\n", "backstay_config/other/etc/more.conf": "shared_preload_libraries = 'three,gone'\n"}, want: []string{"three", "gone"}, lacks: []string{"gone"}, says: "is a comment in the restored postgresql.conf"},
		"in a circle": {files: map[string]string{"postgresql.conf": "shared_preload_libraries = 'one'\ninclude = 'postgresql.conf'\n"}, want: []string{"one"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				write(dir, name, text)
			}
			f := facts{dir: dir}
			f.programs.Dir = filepath.Join(filepath.Dir(installed), "bin")
			p := f.readPreload()
			if !slices.Equal(p.libraries, c.want) || !slices.Equal(p.missing, c.lacks) || p.known != (len(c.files) > 0) {
				t.Errorf("%+v, want %v without %v", p, c.want, c.lacks)
			}
			if note := p.note(); (note == "") != (c.says == "") || !strings.Contains(note, c.says) {
				t.Errorf("it says %q, want %q", note, c.says)
			}
		})
	}
}

// foreignLog is the log with a record of a resource manager at its end that no server has by itself. disarm makes one of
// it that does nothing.
func (w *world) foreignLog(t *testing.T) (l *memLog, disarm func()) {
	t.Helper()
	var at wal.LSN
	for l = w.log(t, 700_000); at%wal.PageSize == 0 || at%wal.PageSize > wal.PageSize-32; l = w.log(t, 700_000) {
		w.commit(t, 1, 100)
		at = w.cluster.LSN(t)
	}
	last := len(l.parts) - 1
	s := wal.NewScanner(wal.LSN(l.segments[last].From.Seq), wal.Options{SegmentSize: w.size})
	for _, d := range l.parts[last].data {
		if err := s.Feed(d); err != nil {
			t.Fatal(err)
		}
	}
	if at = wal.LSN(l.segments[last].To.Seq); s.Boundary() != at || at%8 != 0 {
		t.Fatalf("the log ends at %s, behind its last record at %s", at, s.Boundary())
	}
	b := make([]byte, 32)
	binary.LittleEndian.PutUint32(b, 30)
	binary.LittleEndian.PutUint64(b[8:], uint64(s.Last().Start))
	copy(b[24:], []byte{255, 4, 1, 2, 3, 4}) // main data, four bytes
	as := func(b []byte, manager, info byte) {
		table := crc32.MakeTable(crc32.Castagnoli)
		b[16], b[17] = info, manager
		binary.LittleEndian.PutUint32(b[20:], crc32.Update(crc32.Checksum(b[24:30], table), table, b[:20]))
	}
	as(b, 130, 0)
	l.add(w.size, 1, at, at+32, b, nil)
	return l, func() { as(l.parts[last+1].data[0], 0, 0x20) } // XLOG_NOOP
}

// testForeignRecords replays log with records of an extension that is not here, or is not what the source preloads.
func testForeignRecords(t *testing.T, w *world) {
	for name, c := range map[string]struct {
		auto   string
		says   string
		hint   string
		loaded []string
	}{
		"nothing is preloaded":            {says: "the source preloaded none", hint: "shared_preload_libraries"},
		"the library is missing":          {auto: "shared_preload_libraries = 'no_such_library'\n", says: "not installed on this host: no_such_library", hint: "install no_such_library"},
		"another library does not help":   {auto: "shared_preload_libraries = 'pg_stat_statements'\n", says: "(pg_stat_statements) do not bring it", loaded: []string{"pg_stat_statements"}},
		"one is here, and one is missing": {auto: "shared_preload_libraries = 'pg_stat_statements, no_such_library'\n", says: "not installed on this host: no_such_library", loaded: []string{"pg_stat_statements"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := w.foreignLog(t)
			dir := w.lay(t)
			if err := os.WriteFile(filepath.Join(dir, autoConf), []byte(c.auto), 0o600); err != nil {
				t.Fatal(err)
			}
			p := &replay{log: l}
			err := p.plan(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			p.spaces = newSpaces(p.facts, nil)
			err = blamed(p.run(t.Context()))
			var failed *ManagerError
			if !errors.As(err, &failed) || failed.Number != "130" || !strings.Contains(err.Error(), c.says) || !strings.Contains(failed.Hint(), c.hint) {
				t.Errorf("replay: %v; hint %q", err, failed.Hint())
			}
			if _, bad := recovery.Damaged(err); bad || !recovery.Environment(err) {
				t.Error("the backup was blamed")
			}
			if !slices.Equal(p.loaded, c.loaded) {
				t.Errorf("loaded %v, want %v", p.loaded, c.loaded)
			}
			requireNotPromoted(t, dir)
		})
	}
}

// testLoadedReplay begins again with the libraries of the source, and this time the server can go on.
func testLoadedReplay(t *testing.T, w *world) {
	l, disarm := w.foreignLog(t)
	dir := w.lay(t)
	if err := os.WriteFile(filepath.Join(dir, autoConf), []byte("shared_preload_libraries = 'pg_stat_statements, no_such_library'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &replay{log: l}
	if err := p.plan(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	p.spaces = newSpaces(p.facts, nil)
	l.open = func(int) error {
		if p.loaded != nil {
			disarm()
		}
		return nil
	}
	if err := p.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.loaded, []string{"pg_stat_statements"}) {
		t.Errorf("loaded %v", p.loaded)
	}
	if notes := p.reached.Notes; len(notes) != 1 || !strings.Contains(notes[0], "no_such_library") {
		t.Errorf("notes %q", notes)
	}
	// Nothing but a person can put back what is not here.
	if err := os.WriteFile(filepath.Join(dir, autoConf), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	requireRows(t, w.plain(t, dir), w.n)
}
