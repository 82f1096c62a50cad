package audit

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzEntry(f *testing.F) {
	whole := Entry{ID: "a", What: Drop, Outcome: OK, Source: "app", Objects: []string{"base/1"}, Why: "no rule keeps it", Error: "x",
		Bytes: 5, Since: time.Unix(1, 0), Who: Who{User: "anna", Job: "j"}}.filled(Entry{Tool: "1"}, "id", time.Unix(2, 0))
	b, err := json.Marshal(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, s := range []string{`{"id":"a","time":"2026-11-21T10:00:00Z","what":"x","outcome":"y","new":{"z":[1]}}`, `{"id":1}`, `[]`, ``, `{"time":"now"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := parseEntry(body)
		if err != nil {
			return
		}
		out, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", body, err)
		}
		again, err := parseEntry(out)
		if err != nil {
			t.Fatalf("%q is written as %q: %v", body, out, err)
		}
		if a, b := e.filled(Entry{}, "", time.Time{}), again.filled(Entry{}, "", time.Time{}); !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v is read back as %+v", a, b)
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add("postgres://u:p@h", 30)
	f.Add("password='é é' x", 9)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(limit%5000, 16)
		if got := cut(mask(s), limit); len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
	})
}

func FuzzPlace(f *testing.F) {
	f.Add("audit/db1-00000000/000001/bundle/000000")
	f.Add("audit/x/-00001/y")
	f.Fuzz(func(t *testing.T, name string) {
		log, volume, rest, ok := place(name)
		if ok && prefix(log, volume)+"/"+rest != name {
			t.Fatalf("%q is %q %d %q", name, log, volume, rest)
		}
	})
}
