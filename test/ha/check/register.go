package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Result is a judge's answer.
type Result int

// The results.
const (
	Right     Result = iota
	Wrong            // it cannot all be true
	Undecided        // there was not enough time to find out
)

// Linearizable says whether reads and writes of registers, each named by its Key and zero at first, could have happened
// one after the other, each between the moments at which it was asked and answered. If not, it names a key.
func Linearizable(all []Operation, limit time.Duration) (Result, string) {
	byKey := map[string][]Operation{}
	for _, o := range all {
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	keys := make([]string, 0, len(byKey))
	for k := range byKey {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	result, at := Right, ""
	for _, k := range keys {
		switch porcupine.CheckOperationsTimeout(register, operations(byKey[k]), limit) {
		case porcupine.Illegal:
			return Wrong, k
		case porcupine.Unknown:
			result, at = Undecided, k
		}
	}
	return result, at
}

// registerCall is the input of a step of the model.
type registerCall struct {
	write bool
	value int64
}

var register = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		call := input.(registerCall)
		if call.write {
			return true, call.value
		}
		return output.(int64) == state.(int64), state
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string {
		if call := input.(registerCall); call.write {
			return fmt.Sprintf("write %d", call.value)
		}
		return fmt.Sprintf("read %d", output)
	},
}

// operations gives what the model takes: a write whose outcome is unknown is answered at the end of all times, since it
// may happen until then; what did not happen, and a read without an answer, say nothing. A client that did not learn an
// outcome goes on, so that its later operations overlap with the one before: each has a client of its own.
func operations(all []Operation) (out []porcupine.Operation) {
	all = slices.SortedFunc(slices.Values(all), func(a, b Operation) int { return cmp.Compare(a.Asked, b.Asked) })
	for i, o := range all {
		write := o.Kind == "write"
		if o.Outcome == Refused || o.Outcome == Unknown && !write {
			continue
		}
		p := porcupine.Operation{ClientId: i, Call: int64(o.Asked), Return: int64(o.Answered), Input: registerCall{write, o.Value}, Output: o.Value}
		if o.Outcome == Unknown {
			p.Return = math.MaxInt64
		}
		out = append(out, p)
	}
	return out
}
