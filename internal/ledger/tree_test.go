package ledger

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestTreeIsTheOneOfTheChecksumDatabase compares every root up to 600 leaves with tlog's.
func TestTreeIsTheOneOfTheChecksumDatabase(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	var own tree
	for n := range int64(600) {
		want, err := tlog.TreeHash(n, reader)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 && own.root() != want {
			t.Fatalf("root of %d leaves: want %s, got %s", n, want, own.root())
		}
		line := []byte(fmt.Sprint("leaf ", n))
		more, err := tlog.StoredHashes(n, line, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		own = own.add(leafHash(line))
	}
	if got := (tree{}).root().String(); got != "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" {
		t.Fatalf("root of no leaves is %s, RFC 6962 says the SHA-256 of nothing", got)
	}
}
