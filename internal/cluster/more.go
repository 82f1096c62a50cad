package cluster

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"sync"
)

// plain is a State as encoding/json treats it by itself.
type plain State

// known are the names of a State's fields in JSON.
var known = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for f := range reflect.TypeFor[plain]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names[name] = true
		}
	}
	return names
})

// UnmarshalJSON keeps fields that this release does not know: the state is written by all who hold or decide, and during an
// upgrade some of them are older than others.
func (s *State) UnmarshalJSON(text []byte) error {
	var p plain
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { return known()[name] })
	*s = State(p)
	if len(all) > 0 {
		s.more = all
	}
	return nil
}

// MarshalJSON writes them again.
func (s State) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(plain(s))
	if err != nil || len(s.more) == 0 {
		return text, err
	}
	all := maps.Clone(s.more)
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
