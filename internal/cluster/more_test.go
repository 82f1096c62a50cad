package cluster

import (
	"encoding/json"
	"testing"

	"github.com/backstaydb/backstay/internal/history"
)

// TestFieldsOfANewerReleaseStay: an older keeper or agent writes the state too.
func TestFieldsOfANewerReleaseStay(t *testing.T) {
	const newer = `{"epoch":7,"phase":"serving","step":3,"primary":"db1","timeline":2,"beat":9,"shape":{"a":[1]},"zone":"x"}`
	var s State
	if err := json.Unmarshal([]byte(newer), &s); err != nil {
		t.Fatal(err)
	}
	next, ok := s.Renewed("db1", 7, history.At(2, 5), nil)
	if !ok {
		t.Fatal("not renewed")
	}
	text, err := json.Marshal(next)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if string(all["shape"]) != `{"a":[1]}` || string(all["zone"]) != `"x"` || string(all["beat"]) != "10" || string(all["epoch"]) != "7" || all["reached"] == nil {
		t.Errorf("wrote %s", text)
	}
	if d := Decide(Config{}.WithDefaults(), s, View{}, 0); d.Next.more == nil {
		t.Error("a decision drops them")
	}
	plainly, err := json.Marshal(State{Epoch: 7})
	if err != nil || string(plainly) != `{"epoch":7,"phase":"","step":0,"timeline":0,"beat":0}` {
		t.Errorf("without them %s, %v", plainly, err)
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"epoch":7,"quorums":[{"step":1,"names":["a"],"k":1}],"x":1}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"EPOCH":3,"epoch":4}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s, again State
		if json.Unmarshal(text, &s) != nil {
			return
		}
		once, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(once, &again); err != nil {
			t.Fatal(err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(once) {
			t.Errorf("%s became %s, %v", once, twice, err)
		}
	})
}
