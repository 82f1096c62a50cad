package check

import (
	"testing"
	"time"
)

const limit = 10 * time.Second

func op(kind string, value int64, asked, answered int, o Outcome) Operation {
	return Operation{Kind: kind, Key: "k", Value: value, Asked: time.Duration(asked), Answered: time.Duration(answered), Outcome: o}
}

// Each history is told with what is wrong in it, so that it is known that the judge can find it.
func TestRegisters(t *testing.T) {
	for _, c := range []struct {
		name string
		all  []Operation
		want Result
	}{
		{"one after the other", []Operation{op("write", 1, 0, 10, Happened), op("read", 1, 20, 30, Happened)}, Right},
		{"a read of what is being written", []Operation{op("write", 1, 0, 100, Happened), op("read", 1, 20, 30, Happened), op("read", 1, 40, 50, Happened)}, Right},
		{"a read of the past", []Operation{op("write", 1, 0, 10, Happened), op("write", 2, 20, 30, Happened), op("read", 1, 40, 50, Happened)}, Wrong},
		{"a value that goes and comes back", []Operation{op("write", 1, 0, 100, Happened), op("read", 1, 20, 30, Happened), op("read", 0, 40, 50, Happened)}, Wrong},
		{"an acknowledged write that is lost", []Operation{op("write", 1, 0, 10, Happened), op("read", 0, 40, 50, Happened)}, Wrong},
		{"an unknown write that never happens", []Operation{op("write", 1, 0, 10, Unknown), op("read", 0, 40, 50, Happened)}, Right},
		{"an unknown write that happens late", []Operation{op("write", 1, 0, 10, Unknown), op("read", 0, 40, 50, Happened), op("read", 1, 60, 70, Happened)}, Right},
		{"an unknown write that is undone", []Operation{op("write", 1, 0, 10, Unknown), op("read", 1, 40, 50, Happened), op("read", 0, 60, 70, Happened)}, Wrong},
		{"a refused write that is there", []Operation{op("write", 1, 0, 10, Refused), op("read", 1, 40, 50, Happened)}, Wrong},
		{"an unknown read says nothing", []Operation{op("write", 1, 0, 10, Happened), op("read", 0, 40, 50, Unknown)}, Right},
	} {
		if got, _ := Linearizable(c.all, limit); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRegistersAreSeparate(t *testing.T) {
	other := op("read", 0, 20, 30, Happened)
	other.Key = "other"
	if got, at := Linearizable([]Operation{op("write", 1, 0, 10, Happened), other}, limit); got != Right {
		t.Errorf("%v at %s", got, at)
	}
	other.Value = 7
	if got, at := Linearizable([]Operation{op("write", 1, 0, 10, Happened), other}, limit); got != Wrong || at != "other" {
		t.Errorf("%v at %s", got, at)
	}
}

func TestAppends(t *testing.T) {
	all := []Operation{op("append", 1, 0, 1, Happened), op("append", 2, 0, 1, Happened), op("append", 3, 0, 1, Unknown), op("append", 4, 0, 1, Refused),
		op("append", 5, 0, 1, Unknown)}
	v := Appends(all, []int64{1, 3, 4, 9, 9, 1})
	if len(v.Lost) != 1 || v.Lost[0] != 2 || len(v.Risen) != 1 || v.Risen[0] != 4 || len(v.Twice) != 1 || v.Twice[0] != 1 || v.Recovered != 1 || len(v.Strange) != 1 || v.Acknowledged != 2 {
		t.Errorf("%+v", v)
	}
	if v.Err() == nil {
		t.Error("nothing is wrong")
	}
	if v := Appends(all, []int64{2, 1, 5}); v.Err() != nil || len(v.Lost) > 0 {
		t.Errorf("%+v", v)
	}
}

func TestBank(t *testing.T) {
	all := []Operation{op("sum", 100, 0, 1, Happened), op("sum", 0, 0, 1, Unknown)}
	if err := Bank(all, 100); err != nil {
		t.Error(err)
	}
	if Bank(append(all, op("sum", 90, 0, 1, Happened)), 100) == nil {
		t.Error("a sum of 90 passed")
	}
}

func TestGap(t *testing.T) {
	h := NewHistory()
	for _, at := range []int{10, 20, 70, 80} {
		h.Add(op("append", 0, 0, at, Happened))
	}
	h.Add(op("append", 0, 0, 40, Refused))
	if gap, at := h.Gap("append", 0, 100); gap != 50 || at != 20 {
		t.Errorf("gap %d at %d", gap, at)
	}
	if gap, _ := h.Gap("append", 0, 200); gap != 120 {
		t.Errorf("gap at the end %d", gap)
	}
}
