package recovery

import (
	"testing"

	"github.com/backstaydb/backstay/internal/history"
)

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
