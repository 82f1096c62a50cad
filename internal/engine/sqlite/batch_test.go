package sqlite

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// TestBatchPartsLargeCommitsOnly: a commit is shipped in parts only if it fills a batch alone.
func TestBatchPartsLargeCommitsOnly(t *testing.T) {
	t.Parallel()
	type shipped struct {
		File     string
		Offset   int64
		Size     int
		Complete bool
	}
	var got [][]shipped
	var data []byte
	b := &batch{ctx: t.Context(), limit: 1000, done: func(head) {}, ship: func(_ context.Context, pieces []engine.Piece) error {
		var batch []shipped
		for _, p := range pieces {
			batch = append(batch, shipped{p.File[15:16], p.Offset, len(p.Data), p.Complete})
			data = append(data, p.Data...)
		}
		got = append(got, batch)
		return nil
	}}
	var want []byte
	for i, size := range []int{300, 300, 300, 300, 900, 2500, 100} {
		n := uint64(i + 1)
		b.begin(n)
		for size > 0 {
			p := bytes.Repeat([]byte{byte(size), byte(n)}, 50)
			size -= len(p)
			want = append(want, p...)
			if _, err := b.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.end(head{position: history.At(1, n)}, history.Mark{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	expected := [][]shipped{
		{{"1", 0, 300, true}, {"2", 0, 300, true}, {"3", 0, 300, true}},
		{{"4", 0, 300, true}},
		{{"5", 0, 900, true}},
		{{"6", 0, 1000, false}},
		{{"6", 1000, 1000, false}},
		{{"6", 2000, 500, true}, {"7", 0, 100, true}},
	}
	if d := cmp.Diff(expected, got); d != "" {
		t.Error(d)
	}
	if !bytes.Equal(data, want) {
		t.Error("the bytes that were shipped are not those that were written")
	}
}
