package ledger

import (
	"bytes"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

func FuzzCheckpoint(f *testing.F) {
	signer, err := NewSigner("host")
	if err != nil {
		f.Fatal(err)
	}
	c := Checkpoint{Origin: "app", Number: 3, Size: 1, Root: tree{}.add(leafHash([]byte("{}"))).root(), Time: time.Unix(1, 0).UTC(),
		Whole: history.Moment{Position: history.Position{Timeline: 1, Seq: 2, Mark: "0/2 b"}, Time: time.Unix(2, 0).UTC()},
		Tips:  []Tip{{Name: "tip/1/x", Size: 4, SHA256: "ab", Body: []byte(`{"a":1}`)}}}
	text, err := c.text()
	if err != nil {
		f.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(joinCheckpoint(signed, [][]byte{[]byte("{}")}))
	f.Add(joinCheckpoint(signed, nil))
	f.Add([]byte("a\n\nb\n\n"))
	f.Fuzz(func(t *testing.T, object []byte) {
		signed, tail, err := splitCheckpoint(object)
		if err != nil {
			return
		}
		if !bytes.Equal(joinCheckpoint(signed, tail), object) {
			t.Fatalf("%q is not what is written for its parts", object)
		}
		text, _, _ := bytes.Cut(signed, []byte("\n\n"))
		c, err := parseText(string(text) + "\n")
		if err != nil {
			return
		}
		again, err := c.text()
		if err != nil {
			return // a mark that holds what no writer puts there
		}
		if d, err := parseText(again); err != nil || d.Number != c.Number || d.Root != c.Root || len(d.Tips) != len(c.Tips) {
			t.Fatalf("%q is read back as %+v, %v", again, d, err)
		}
	})
}

func FuzzLeaf(f *testing.F) {
	for _, s := range []string{`{"n":7,"kind":"note","time":"2026-11-21T10:00:00Z"}`, `{"n":7,"body":{"x":[1]}}`, `[]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		leaf, err := parseLeaf(line, 7)
		if err != nil {
			return
		}
		again, err := leaf.line()
		if err != nil {
			return // a year that JSON does not hold
		}
		if b, err := parseLeaf(again, 7); err != nil || b.Kind != leaf.Kind || b.Name != leaf.Name {
			t.Fatalf("%q is read back as %+v, %v", again, b, err)
		}
	})
}

func FuzzSplitLines(f *testing.F) {
	f.Add([]byte("a\nb\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if lines, err := splitLines(b); err == nil && !bytes.Equal(joinLines(lines), b) {
			t.Fatalf("%q", b)
		}
	})
}
