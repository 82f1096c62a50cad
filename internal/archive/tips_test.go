package archive

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/backstaydb/backstay/internal/store"
)

// named remembers what was put.
type named struct {
	store.Store
	mu   sync.Mutex
	puts []string
}

func (n *named) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	n.mu.Lock()
	n.puts = append(n.puts, name)
	n.mu.Unlock()
	return n.Store.Put(ctx, name, r, size)
}

// TestTipsEndWhereSegmentsDo: no tip is made again because a segment ended inside it.
func TestTipsEndWhereSegmentsDo(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.config.SegmentBytes = 4 << 10
		n := &named{}
		h.wrap = func(_ int, s store.Store) store.Store { n.Store = s; return n }
		d := h.start()
		h.work(100)
		d.shipped()
		d.stop()
		h.proveAll()
		var ends []uint64
		tips := 0
		for _, name := range n.puts {
			var line uint32
			var from, to uint64
			if _, log, ok := strings.Cut(name, "/log/"); ok {
				if _, err := fmt.Sscanf(log, "%d/%020d-%020d", &line, &from, &to); err != nil {
					t.Fatal(err)
				}
				ends = append(ends, to)
			}
		}
		for _, name := range n.puts {
			var line uint32
			var from, to uint64
			if _, tip, ok := strings.Cut(name, "/tip/"); ok {
				if _, err := fmt.Sscanf(tip, "%d/%020d-%020d", &line, &from, &to); err != nil {
					t.Fatal(err)
				}
				tips++
				for _, end := range ends {
					if from < end && end < to {
						t.Errorf("a segment ended at %d, inside %s", end, name)
					}
				}
			}
		}
		if len(ends) < 8 || tips < 40 {
			t.Errorf("%d segments, %d tips", len(ends), tips)
		}
	})
}

func TestRoom(t *testing.T) {
	of := func(bytes int64, full, held bool) tip { return tip{span: span{bytes: bytes, held: held}, full: full} }
	for _, c := range []struct {
		tips []tip
		want int64
	}{
		{nil, 100},
		{[]tip{of(30, false, false), of(20, false, false)}, 50},
		{[]tip{of(30, false, false), of(75, true, false)}, 100},
		{[]tip{of(30, false, false), of(75, true, false), of(10, false, false)}, 90},
		{[]tip{of(30, false, false), of(10, false, true)}, 90},
		{[]tip{of(230, false, false)}, 70}, // it was recalled, or the segment was cut for its age
	} {
		if got := room(c.tips, 100); got != c.want {
			t.Errorf("%+v: %d, want %d", c.tips, got, c.want)
		}
	}
}
