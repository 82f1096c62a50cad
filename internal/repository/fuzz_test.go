package repository

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":0,"base":{"id":"b"},"packs":[{"name":"pack-00001","size":3,"sha256":"00"}],"maps":[],"sealed":"YQ=="}`))
	f.Add([]byte(`{"base":{"id":"b"},"packs":[{"name":"../../key/000001"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b, "b")
		if err != nil {
			return
		}
		for _, p := range m.parts() {
			if store.ValidName(p.Name) != nil || sweepUnit(p.Name) != "base/b" {
				t.Fatalf("part %q leads out of the base", p.Name)
			}
		}
		if _, err := m.encode(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzFold(f *testing.F) {
	f.Add("segment", "log/1/a", []byte(`{"from":"1/0","to":"1/3","index":{"offset":1,"length":2}}`))
	f.Add("drop", "", []byte(`{"names":["log/1/00000000000000000000-00000000000000000003-aa"],"reason":"x"}`))
	f.Add("gap", "", []byte(`{"from":"1/3"}`))
	f.Add("base", "base/b/manifest", []byte(`{"id":"b","start":"1/0"}`))
	f.Fuzz(func(t *testing.T, kind, name string, body []byte) {
		fold := newFold()
		if !json.Valid(body) {
			return // a leaf that holds it cannot be parsed
		}
		if fold.Add(ledger.Leaf{Kind: kind, Name: name, Body: body, Time: time.Unix(0, 0)}) != nil {
			return
		}
		_ = fold.droppedSegments()
		head := ledger.Checkpoint{Tips: []ledger.Tip{{Name: name, Body: body}}}
		if _, err := fold.history("app", head); err == nil && len(fold.listed(head)) == 0 {
			t.Fatal("the tip is not listed")
		}
	})
}

func FuzzSecret(f *testing.F) {
	s, err := NewSecret()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.text())
	f.Add("AGE-SECRET-KEY-1\n# digest-key: x\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSecret(text)
		if err != nil {
			return
		}
		if again, err := parseSecret(s.text()); err != nil || again.digestKey != s.digestKey || len(again.identities) != len(s.identities) {
			t.Fatal("it is not read back as it is written")
		}
	})
}
