package check

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict is what became of rows that were appended.
type Verdict struct {
	Acknowledged int
	Lost         []int64 // acknowledged, and not there
	Risen        []int64 // refused, and there
	Twice        []int64
	Recovered    int     // unknown, and there
	Strange      []int64 // there, and never asked for
}

// Appends holds the rows that are there at the end against what clients were told. A row is named by its Value.
func Appends(all []Operation, there []int64) (v Verdict) {
	count := map[int64]int{}
	for _, id := range there {
		count[id]++
	}
	asked := map[int64]bool{}
	for _, o := range all {
		asked[o.Value] = true
		n := count[o.Value]
		switch {
		case n > 1:
			v.Twice = append(v.Twice, o.Value)
		case o.Outcome == Happened && n == 0:
			v.Lost = append(v.Lost, o.Value)
		case o.Outcome == Refused && n > 0:
			v.Risen = append(v.Risen, o.Value)
		case o.Outcome == Unknown && n > 0:
			v.Recovered++
		}
		if o.Outcome == Happened {
			v.Acknowledged++
		}
	}
	for id := range count {
		if !asked[id] {
			v.Strange = append(v.Strange, id)
		}
	}
	for _, ids := range [][]int64{v.Lost, v.Risen, v.Twice, v.Strange} {
		slices.Sort(ids)
	}
	return v
}

// Err says what is wrong with the rows, but for those that were lost: whether any may be depends on the replication.
func (v Verdict) Err() error {
	var wrong []string
	for _, e := range []struct {
		what string
		ids  []int64
	}{{"were refused and are there", v.Risen}, {"are there twice", v.Twice}, {"were never asked for", v.Strange}} {
		if len(e.ids) > 0 {
			wrong = append(wrong, fmt.Sprintf("%d rows %s, as %d", len(e.ids), e.what, e.ids[0]))
		}
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(wrong, "; "))
}
