package datadir

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

func sample(major int) ([]byte, []ManifestFile) {
	when := time.Date(2026, 11, 20, 10, 15, 0, 0, time.UTC)
	files := []ManifestFile{
		{Path: "PG_VERSION", Size: 3, Modified: when, Algorithm: "CRC32C", Checksum: CRC32CChecksum(CRC32C([]byte("15\n")))},
		{Path: "log/a \"quoted\" & <odd>\tname", Modified: when, Algorithm: "CRC32C", Checksum: CRC32CChecksum(0)},
		{Path: "log/no\xffutf8", Size: 1 << 40, Modified: when},
	}
	w := NewManifestWriter(major, 7710536145617168729)
	for _, f := range files {
		w.Add(f)
	}
	return w.Finish([]WALRange{{1, 0x2000028, 0x3000000}, {2, 0x3000000, 0x100000001}}), files
}

func sameFile(a, b ManifestFile) bool {
	return a.Path == b.Path && a.Size == b.Size && a.Modified.Equal(b.Modified) && a.Algorithm == b.Algorithm && bytes.Equal(a.Checksum, b.Checksum)
}

func TestManifestsAreReadBack(t *testing.T) {
	for major, version := range map[int]int{13: 1, 16: 1, 17: 2, 18: 2} {
		text, files := sample(major)
		m, err := ParseManifest(text)
		if err != nil {
			t.Fatal(err)
		}
		if m.Version != version || version == 2 && m.SystemID != 7710536145617168729 {
			t.Errorf("server %d: version %d, system identifier %d", major, m.Version, m.SystemID)
		}
		if !slices.EqualFunc(m.Files, files, sameFile) {
			t.Errorf("files %+v, want %+v", m.Files, files)
		}
		if want := []WALRange{{1, 0x2000028, 0x3000000}, {2, 0x3000000, 0x100000001}}; !slices.Equal(m.Ranges, want) {
			t.Errorf("log %v, want %v", m.Ranges, want)
		}
		if !strings.Contains(string(text), `"End-LSN": "1/1"`) {
			t.Errorf("the log is not written as a server does:\n%s", text)
		}
	}
}

func TestFilesAreAppendedToAManifest(t *testing.T) {
	text, files := sample(17)
	more := ManifestFile{Path: "backstay_config/postgresql.conf", Size: 5, Modified: files[0].Modified, Algorithm: "CRC32C", Checksum: CRC32CChecksum(9)}
	text, err := AppendToManifest(text, []ManifestFile{more})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseManifest(text)
	if err != nil || !slices.EqualFunc(m.Files, append(files, more), sameFile) || len(m.Ranges) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	empty := NewManifestWriter(15, 0).Finish([]WALRange{{1, 1, 2}})
	if empty, err = AppendToManifest(empty, []ManifestFile{more}); err != nil {
		t.Fatal(err)
	}
	if m, err := ParseManifest(empty); err != nil || len(m.Files) != 1 {
		t.Errorf("appended to none: %+v, %v", m, err)
	}
}

func TestADamagedManifestIsNotRead(t *testing.T) {
	text, _ := sample(15)
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if _, err := ParseManifest(bad); err == nil && i < bytes.LastIndex(text, []byte(`"}`)) {
			t.Fatalf("byte %d (%q) was changed unnoticed", i, text[i])
		} else if err != nil && !errors.Is(err, ErrManifest) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

func TestLabels(t *testing.T) {
	const text = "START WAL LOCATION: 1/2000028 (file 000000030000000100000002)\nCHECKPOINT LOCATION: 1/2000060\nBACKUP METHOD: streamed\n" +
		"BACKUP FROM: standby\nSTART TIME: 2026-11-20 10:15:00 UTC\nLABEL: it is: a label\nSTART TIMELINE: 3\n"
	want := Label{Start: 1<<32 | 0x2000028, StartFile: "000000030000000100000002", Checkpoint: 1<<32 | 0x2000060, FromStandby: true, Name: "it is: a label", Timeline: 3}
	if got, err := ParseLabel(text); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for line := range strings.Lines(text) {
		if _, err := ParseLabel(strings.Replace(text, line, "", 1)); err == nil && (strings.HasPrefix(line, "START WAL") || strings.HasPrefix(line, "CHECK") || strings.HasPrefix(line, "START TIMEL")) {
			t.Errorf("without %q it is read", line)
		}
	}
}

func TestTablespaceMaps(t *testing.T) {
	list := []Tablespace{{16385, "/a b/c"}, {4000000000, "/odd\\\nname\r"}}
	got, err := ParseTablespaces(FormatTablespaces(list))
	if err != nil || !slices.Equal(got, list) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"16385", "x /a", "16385 ", "-1 /a"} {
		if _, err := ParseTablespaces(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	for _, major := range []int{13, 17} {
		text, _ := sample(major)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		// The checksum is made right, so that what stands before it is reached.
		if i := bytes.LastIndex(text, sumLine); i > 0 {
			text = sign(bytes.Clone(text[:i]))
		}
		m, err := ParseManifest(text)
		if err != nil {
			return
		}
		more := ManifestFile{Path: "more", Modified: time.Unix(0, 0)}
		longer, err := AppendToManifest(text, []ManifestFile{more})
		if err != nil {
			return
		}
		if n, err := ParseManifest(longer); err == nil && len(n.Files) < len(m.Files) {
			t.Errorf("%d files became %d", len(m.Files), len(n.Files))
		}
	})
}

func FuzzParseControl(f *testing.F) {
	for _, version := range []byte{12, 13, 17, 18} {
		f.Add(fakeControl(version))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseControl(b); err == nil && c.Version == 0 {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzParseText(f *testing.F) {
	f.Add("START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\nSTART TIMELINE: 1\n")
	f.Add("16385 /a\\\nb\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = ParseLabel(text)
		list, err := ParseTablespaces(text)
		if err != nil {
			return
		}
		if again, err := ParseTablespaces(FormatTablespaces(list)); err != nil || !slices.Equal(again, list) {
			t.Errorf("%+v became %+v, %v", list, again, err)
		}
	})
}

// fakeControl is a pg_control of a server of that major version.
func fakeControl(major byte) []byte {
	versions := map[byte]uint32{12: 1201, 13: 1300, 17: 1700, 18: 1800}
	b := make([]byte, 8192)
	put := func(at int, v uint32) { copy(b[at:], CRC32CChecksum(v)) }
	put(0, 77)
	put(8, versions[major])
	put(16, uint32(InProduction))
	put(40, 0x2000028)
	put(48, 3)
	put(180, 100)
	put(216, 8192)
	put(252, 1)
	at := 288
	if major == 18 {
		at = 292
	}
	put(at, CRC32C(b[:at]))
	return b
}

func TestControlsAreChecked(t *testing.T) {
	for _, major := range []byte{12, 13, 17, 18} {
		b := fakeControl(major)
		c, err := ParseControl(b)
		if err != nil || c.SystemID != 77 || c.State != InProduction || c.Redo != wal.LSN(0x2000028) || c.Timeline != 3 || c.MaxConnections != 100 || c.DataChecksums != 1 {
			t.Errorf("server %d: %+v, %v", major, c, err)
		}
		for i := range 292 {
			b[i] ^= 4
			if _, err := ParseControl(b); !errors.Is(err, ErrControl) && i != 288 {
				t.Fatalf("server %d: byte %d was changed unnoticed: %v", major, i, err)
			}
			b[i] ^= 4
		}
	}
}
