package app

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// shelf is a log of segments that lie in memory.
type shelf []shelved

type shelved struct {
	from, to history.Position
	entries  []engine.LogEntry
}

func (l shelf) Segments() (all []history.Segment) {
	for _, s := range l {
		all = append(all, history.Segment{From: s.from, To: s.to})
	}
	return all
}

func (l shelf) Open(_ context.Context, i int) (engine.LogSegment, error) { return l[i], nil }

func (s shelved) Entries() []engine.LogEntry { return s.entries }
func (s shelved) Read(_ context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(bytes.Repeat([]byte{'x'}, int(e.Size)))), nil
}
func (s shelved) Marks(context.Context) iter.Seq2[history.Mark, error] { return nil }
func (s shelved) Close() error                                         { return nil }

func TestLogIsLentOnTheWayThatItWentOn(t *testing.T) {
	const size = 1 << 20
	log := shelf{ // timeline 1 runs on behind the fork at 1 MB + 5000
		{history.At(1, 0), history.At(1, size), []engine.LogEntry{{File: "000000010000000000000000", Size: size}, {File: "condensed", Size: 10, Condensed: true}}},
		{history.At(1, size), history.At(1, size+9000), []engine.LogEntry{{File: "000000010000000000000001", Size: 4000}, {File: "000000010000000000000001", Offset: 4000, Size: 5000}}},
		{history.At(2, size+5000), history.At(2, size+7000), []engine.LogEntry{{File: "00000002.history", Size: 40}, {File: "000000020000000000000001", Size: 5000}, {File: "000000020000000000000001", Offset: 5000, Size: 2000}}},
	}
	forks := []history.Fork{{Child: 2, At: history.At(1, size+5000)}}
	for _, c := range []struct {
		from history.Position
		want []string
	}{
		{history.At(1, size+4500), []string{"00000002.history@0 40", "000000010000000000000001@4000 1000", "000000020000000000000001@0 5000", "000000020000000000000001@5000 2000"}},
		{history.At(1, size+4000), []string{"00000002.history@0 40", "000000010000000000000001@4000 1000", "000000020000000000000001@0 5000", "000000020000000000000001@5000 2000"}},
		{history.At(2, size+6000), []string{"00000002.history@0 40", "000000020000000000000001@5000 2000"}},
	} {
		var out bytes.Buffer
		if err := lend(t.Context(), log, forks, c.from, size, &out); err != nil {
			t.Fatalf("behind %s: %v", c.from.Plain(), err)
		}
		var got []string
		r := tar.NewReader(&out)
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(h.Name, " ", h.Size))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("behind %s: %q, want %q", c.from.Plain(), got, c.want)
		}
	}
	for _, c := range []struct {
		log  shelf
		from history.Position
	}{{log, history.At(2, size+7000)}, {log[1:], history.At(1, size-1)}, {nil, history.At(1, 1)}} {
		if err := lend(t.Context(), c.log, forks, c.from, size, io.Discard); !errors.Is(err, errNotHere) {
			t.Errorf("behind %s, of which nothing follows here: %v", c.from.Plain(), err)
		}
	}
}
