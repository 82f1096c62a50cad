package ledger

import (
	"crypto/sha256"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is as much of a Merkle tree (RFC 6962) as is needed to extend it and to know its root: the roots of the
// perfect subtrees that it falls into, largest first. It is a value; add returns a new one.
type tree struct {
	size  int64
	peaks []tlog.Hash
}

// add appends the hash of a leaf.
func (t tree) add(h tlog.Hash) tree {
	peaks := slices.Clone(t.peaks)
	for n := t.size; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(peaks[len(peaks)-1], h)
		peaks = peaks[:len(peaks)-1]
	}
	return tree{t.size + 1, append(peaks, h)}
}

// root is the hash of the whole tree.
func (t tree) root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	h := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.peaks[i], h)
	}
	return h
}
