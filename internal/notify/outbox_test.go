package notify

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// A message that was written and that no state counts is dropped: the older state makes it anew.
func TestUncountedMessageIsDropped(t *testing.T) {
	o := outbox{t.TempDir()}
	s := newState()
	s.Seq = 1
	if err := o.save(s, []*entry{{seq: 1, m: Message{ID: "counted"}}, {seq: 2, m: Message{ID: "uncounted"}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.path(3)+".x.tmp", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, waiting, damage, err := o.open()
	if err != nil || damage != nil || len(waiting) != 1 || waiting[0].m.ID != "counted" {
		t.Fatalf("%v, %v, %v", waiting, damage, err)
	}
	if files, _ := os.ReadDir(o.dir); len(files) != 2 {
		t.Errorf("the folder holds %v", files)
	}
}

func FuzzParseState(f *testing.F) {
	s := newState()
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	s.report("policy", []Matter{{Notice: rpo("orders", Critical)}}, at)
	s.desk("slack").Told["rpo/orders"] = Told{Critical, at}
	good, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"matters":{"a":null},"desks":{"slack":null}}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			return
		}
		p := pipeline{id: func() string { return "id" }, lanes: []lane{{"slack", Route{}, stages("slack", Route{})}}}
		for i := range 3 {
			p.step(s, nil, at.Add(time.Duration(i)*day))
		}
	})
}
