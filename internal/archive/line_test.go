package archive

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// TestJoinLine lets a base join, overlap, and fall behind the line that it heals.
func TestJoinLine(t *testing.T) {
	at := func(seconds int) time.Time { return time.Date(2026, 1, 1, 0, 0, seconds, 0, time.UTC) }
	book := engine.Bookmark{Position: history.At(1, 100), Token: []byte("t"), Time: at(10)}
	gap := &history.GapError{From: book.Position, Reason: "the slot was lost"}
	result := func(timeline uint32, from, stop uint64) engine.BaseResult {
		return engine.BaseResult{
			Base:     history.Base{Start: history.At(timeline, from), Stop: history.At(timeline, stop), StartTime: at(19), StopTime: at(20)},
			Bookmark: engine.Bookmark{Position: history.At(timeline, from), Time: at(19)},
		}
	}
	for name, c := range map[string]struct {
		res    engine.BaseResult
		gap    *history.GapError
		want   engine.Bookmark
		lost   *history.Gap
		refuse bool
	}{
		"the first line":    {res: result(1, 120, 130), want: engine.Bookmark{Position: history.At(1, 120), Time: at(19)}},
		"log is missing":    {res: result(1, 120, 130), gap: gap, want: engine.Bookmark{Position: history.At(1, 120), Time: at(19)}, lost: &history.Gap{From: history.At(1, 100), To: history.At(1, 120), Since: at(10), Until: at(20), Reason: gap.Reason}},
		"another timeline":  {res: result(2, 50, 60), gap: gap, want: engine.Bookmark{Position: history.At(2, 50), Time: at(19)}, lost: &history.Gap{From: history.At(1, 100), To: history.At(2, 50), Since: at(10), Until: at(20), Reason: gap.Reason}},
		"nothing between":   {res: result(1, 90, 130), gap: gap, want: engine.Bookmark{Position: history.At(1, 100), Time: at(10)}},
		"an earlier state":  {res: result(1, 50, 60), gap: gap, refuse: true},
		"at rest, one time": {res: result(1, 120, 120), want: engine.Bookmark{Position: history.At(1, 120), Time: at(19)}},
	} {
		begin, lost, err := joinLine(book, c.res, c.gap)
		var rewound *RewoundError
		if errors.As(err, &rewound) != c.refuse {
			t.Errorf("%s: %v", name, err)
		}
		if c.refuse {
			continue
		}
		if diff := cmp.Diff(c.want, begin) + cmp.Diff(c.lost, lost); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
