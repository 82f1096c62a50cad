package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// maxLeaf is the longest leaf line, in bytes.
const maxLeaf = 1 << 20

// Leaf is one line of the log: an object, or an event.
type Leaf struct {
	N      int64           `json:"n"` // place in the tree, from 0
	Kind   string          `json:"kind"`
	Name   string          `json:"name,omitempty"`   // of the object, relative to the source
	Size   int64           `json:"size,omitempty"`   // bytes as stored
	SHA256 string          `json:"sha256,omitempty"` // of the bytes as stored, hex
	Time   time.Time       `json:"time"`             // when it was appended, by the writer's clock
	Body   json.RawMessage `json:"body,omitempty"`
}

// line returns the leaf as it is stored and hashed, without a newline.
func (f Leaf) line() ([]byte, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode leaf %d: %w", f.N, err)
	}
	if len(b) > maxLeaf {
		return nil, fmt.Errorf("encode leaf %d: %d bytes are more than a leaf may have", f.N, len(b))
	}
	return b, nil
}

// parseLeaf reads a line that must be leaf n.
func parseLeaf(line []byte, n int64) (Leaf, error) {
	var f Leaf
	if len(line) > maxLeaf || !utf8.Valid(line) {
		return f, fmt.Errorf("parse leaf %d: not a line of at most %d bytes of UTF-8", n, maxLeaf)
	}
	if err := json.Unmarshal(line, &f); err != nil {
		return f, fmt.Errorf("parse leaf %d: %w", n, err)
	}
	if f.N != n {
		return f, fmt.Errorf("parse leaf %d: it says that it is leaf %d", n, f.N)
	}
	return f, nil
}

// splitLines cuts b, in which each line ends with a newline.
func splitLines(b []byte) ([][]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("the last line does not end")
	}
	return bytes.Split(b[:len(b)-1], []byte("\n")), nil
}

// joinLines is the inverse of splitLines.
func joinLines(lines [][]byte) []byte {
	var buf bytes.Buffer
	for _, l := range lines {
		buf.Write(l)
		buf.WriteByte('\n')
	}
	return buf.Bytes()
}

func leafHash(line []byte) tlog.Hash { return tlog.RecordHash(line) }
