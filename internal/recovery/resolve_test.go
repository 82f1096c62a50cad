package recovery

import (
	"errors"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
)

// TestANameThatComesAgain gives a name to several commits. The newest is taken wherever segments were cut, and the
// others are named with what reaches them.
func TestANameThatComesAgain(t *testing.T) {
	const nightly = "name=nightly"
	for _, c := range []struct {
		named []int
		want  uint64
		says  []string
	}{
		{named: []int{37}, want: 37},
		{named: []int{36, 39}, want: 39, says: []string{"newest of 2", "of 2026-11-20 10:39:00Z", "position:1/36 of 2026-11-20 10:36:00Z"}}, // in one segment
		{named: []int{31, 33, 39}, want: 39, says: []string{"newest of 3", "position:1/33 of 2026-11-20 10:33:00Z, position:1/31"}},
		{named: []int{27, 28, 29, 31, 32, 38}, want: 38, says: []string{"newest of 6", "position:1/29", "2 older"}},
	} {
		w := newWorld()
		w.history.Segments = nil
		for _, n := range c.named {
			w.commits[n-1].Value = nightly
		}
		for from := 0; from < 40; from += 5 {
			w.addSegment(from, from+5)
		}
		for target, want := range map[string]uint64{"name:nightly": c.want, "before-name:nightly": c.want - 1} {
			p := w.plan(t, target)
			if p.Chain.Stop != history.At(1, want) {
				t.Errorf("%s of %v is %s, want %d", target, c.named, p.Chain.Stop, want)
			}
			if len(p.Warnings) != min(len(c.says), 1) {
				t.Errorf("%s of %v warns of %q", target, c.named, p.Warnings)
			}
			for _, say := range c.says {
				if !strings.Contains(p.String(), say) {
					t.Errorf("%s of %v does not say %q:\n%s", target, c.named, say, p)
				}
			}
		}
	}
}

// TestANameIsFoundBesideDamage: what else goes by a name is worth a word, not a failure.
func TestANameIsFoundBesideDamage(t *testing.T) {
	w := newWorld()
	w.log["log/1/25-30"].Err = errors.New("a damaged object")
	if p := w.plan(t, "name:release"); p.Chain.Stop != history.At(1, 33) || len(p.Warnings) > 0 {
		t.Errorf("%s", p)
	}
}

// TestATransactionThatNobodyCommitted says what may have become of it.
func TestATransactionThatNobodyCommitted(t *testing.T) {
	w := newWorld()
	_, _, err := Resolve(t.Context(), w.origin("local"), nil, enginetest.Values{}, history.Target{Kind: history.Custom, Key: "xid", Value: "7"})
	if err == nil || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("error %v", err)
	}
}

// TestBeforeACommitBehindABase asks for the state before the first commit behind a base that spreads over log: the
// commit before it lies where the base cannot be brought to.
func TestBeforeACommitBehindABase(t *testing.T) {
	base := func(timeline uint32, start, stop uint64) history.Base {
		return history.Base{Start: history.At(timeline, start), Stop: history.At(timeline, stop)}
	}
	bases := []history.Base{base(1, 10, 20), base(1, 40, 45), base(1, 50, 60), base(2, 52, 54)}
	for _, c := range []struct{ before, commit, want uint64 }{
		{15, 30, 20}, // between them a base comes to stand
		{30, 48, 45},
		{46, 49, 46}, // none does
		{41, 52, 45}, // the third begins before the commit and stands behind it
		{41, 45, 41}, // the base holds the commit
	} {
		if got := newestBase(bases, history.At(1, c.before), history.At(1, c.commit)); got != history.At(1, c.want) {
			t.Errorf("before the commit at %d, the one before at %d: %s, want %d", c.commit, c.before, got, c.want)
		}
	}
}
