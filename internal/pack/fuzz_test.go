package pack

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

func FuzzMarks(f *testing.F) {
	e := newMarksEncoder()
	for _, m := range marksOf(5) {
		if err := e.add(m); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(e.buf)
	f.Add([]byte{0, markName, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F})
	f.Fuzz(func(t *testing.T, b []byte) {
		again := newMarksEncoder()
		var marks []history.Mark
		for m, err := range decodeMarks(bytes.NewReader(b)) {
			if err != nil {
				return
			}
			if m.Time.Year() > 1700 || m.Time.IsZero() {
				marks = append(marks, m)
				if err := again.add(m); err != nil {
					t.Fatal(err)
				}
			}
		}
		i := 0
		for m, err := range decodeMarks(bytes.NewReader(again.buf)) {
			if err != nil || !reflect.DeepEqual(m, marks[i]) {
				t.Fatalf("mark %d: %+v became %+v: %v", i, marks[i], m, err)
			}
			i++
		}
		if i != len(marks) {
			t.Fatalf("%d marks became %d", len(marks), i)
		}
	})
}

func FuzzIndex(f *testing.F) {
	var w indexWriter
	at := int64(512)
	for _, file := range logOf(5, 700, 0) {
		w.add(&SegmentEntry{File: file.File, Size: file.Size, Offset: int64(len(w.name)), Condensed: len(w.name) == 0}, at)
		at += file.Size + 1000
	}
	f.Add(w.encode([]frameSize{{plain: 5000, stored: 300}, {plain: 20_000, stored: 4000}}, 6000, 10))
	f.Add([]byte{1, 1, 1, 1, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F})
	f.Add([]byte{0, 1, 1, 1, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseIndex(b, 1<<20)
		if err != nil {
			return
		}
		entries, at := x.list()
		if len(entries) != x.count || len(at) != x.count {
			t.Fatalf("%d entries of %d", len(entries), x.count)
		}
		end := x.frames[len(x.frames)-1].plain
		for i, e := range entries {
			if at[i]+e.Size > end {
				t.Fatalf("entry %d ends at %d of %d", i, at[i]+e.Size, end)
			}
			if e.Size > 0 {
				if k := x.frameOf(at[i]); x.frames[k].plain > at[i] || x.frames[k+1].plain <= at[i] {
					t.Fatalf("byte %d is not in frame %d", at[i], k)
				}
			}
		}
	})
}

func FuzzMapLine(f *testing.F) {
	files := []*baseFile{{File: engine.File{Name: "a", Size: 1 << 20}, Map: 1}}
	f.Add([]byte(`{"file":0,"offset":0,"pack":1,"at":10,"stored":[100],"sizes":[4096],"digests":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRun(b, files, 3)
		if err == nil && (r.Offset+r.size() > 1<<20 || len(r.digest(len(r.Sizes)-1)) != 32 || r.length() <= 0) {
			t.Fatalf("a run was accepted that makes no sense: %+v", r)
		}
	})
}

func FuzzFileLine(f *testing.F) {
	good := &baseFile{File: engine.File{Name: "a/b", Mode: 0o600, Size: 7}, Map: 1}
	line, err := good.line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add([]byte(`{"name":"../x","mtime":"2026-11-21T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parseFile(b)
		if err != nil {
			return
		}
		line, err := file.line()
		if err != nil {
			return // a year that JSON has no form for
		}
		again, err := parseFile(line)
		if err != nil || again.Name != file.Name || again.Size != file.Size || again.Mode != file.Mode {
			t.Fatalf("%+v became %+v: %v", file, again, err)
		}
	})
}

// FuzzSegment gives the decoders what someone made who knows the recipient: well sealed, badly filled.
func FuzzSegment(f *testing.F) {
	id := testKey(f)
	s, b := sealSegment(f, id, specOf(logOf(3000, 10), marksOf(3)))
	plain, err := age.Decrypt(bytes.NewReader(b), id)
	if err != nil {
		f.Fatal(err)
	}
	stream, err := io.ReadAll(plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stream, s.Index.Offset, s.Index.Length)
	f.Fuzz(func(t *testing.T, stream []byte, off, n int64) {
		var sealed bytes.Buffer
		seal, err := newSealer(&sealed, []age.Recipient{id.Recipient()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Write(stream); err != nil {
			t.Fatal(err)
		}
		if err := seal.finish(); err != nil {
			t.Fatal(err)
		}
		err = readAllOf(t, sealed.Bytes(), IndexRef{Offset: off, Length: n}, id)
		if bad := new(CorruptError); err != nil && !errors.As(err, &bad) {
			t.Fatalf("%v is no CorruptError", err)
		}
	})
}
