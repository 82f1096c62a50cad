package ledger

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows, without the store, that a signed checkpoint covers a leaf.
type Proof struct {
	Note   string           `json:"note"` // the signed checkpoint
	Leaf   string           `json:"leaf"` // the line of the leaf, byte for byte
	N      int64            `json:"n"`
	Hashes tlog.RecordProof `json:"hashes"` // RFC 6962 audit path
}

// Prove reads the log and returns the proof for leaf n under the newest checkpoint.
func (l *Log) Prove(ctx context.Context, n int64) (Proof, error) {
	var p Proof
	err := l.View(ctx, func(head Checkpoint, _ []Ignored) error {
		if n < 0 || n >= head.Size {
			return fmt.Errorf("prove leaf %d of %s: the log has %d leaves", n, l.c.Prefix, head.Size)
		}
		hashes, leaf, err := l.hashes(ctx, n)
		if err != nil {
			return err
		}
		p.Hashes, err = tlog.ProveRecord(head.Size, n, hashes)
		p.Note, p.Leaf, p.N = string(head.Note), string(leaf), n
		return err
	})
	return p, err
}

// Extends returns the RFC 6962 proof that the newest checkpoint extends the tree of an older one.
func (l *Log) Extends(ctx context.Context, older Seen) (Checkpoint, tlog.TreeProof, error) {
	var c Checkpoint
	var proof tlog.TreeProof
	err := l.View(ctx, func(head Checkpoint, _ []Ignored) error {
		c = head
		if err := older.newer(l.c.Prefix, head); err != nil {
			return err
		}
		hashes, _, err := l.hashes(ctx, -1)
		if err != nil || older.Size == 0 {
			return err
		}
		if proof, err = tlog.ProveTree(head.Size, older.Size, hashes); err != nil {
			return err
		}
		if tlog.CheckTree(proof, head.Size, head.Root, older.Size, older.Root) != nil {
			return older.rewritten(l.c.Prefix, head)
		}
		return nil
	})
	return c, proof, err
}

// hashes reads all leaves of head and returns the hashes of the tree, and the line of leaf n.
func (l *Log) hashes(ctx context.Context, n int64) (tlog.HashReader, []byte, error) {
	var stored []tlog.Hash
	var leaf []byte
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	err := l.lines(ctx, l.head, l.pending, 0, func(i int64, _ string, line []byte) error {
		if i == n {
			leaf = line
		}
		more, err := tlog.StoredHashesForRecordHash(i, leafHash(line), reader)
		stored = append(stored, more...)
		return err
	})
	return reader, leaf, err
}

// Verify checks the proof against verifier keys and returns the leaf and the checkpoint that covers it.
func (p Proof) Verify(verifiers []string) (Leaf, Checkpoint, error) {
	text, signer, err := VerifyNote([]byte(p.Note), verifiers)
	if err != nil {
		return Leaf{}, Checkpoint{}, fmt.Errorf("verify proof: %w", err)
	}
	c, err := parseText(text)
	if err != nil {
		return Leaf{}, c, fmt.Errorf("verify proof: %w", err)
	}
	c.Signer, c.Note = signer, []byte(p.Note)
	f, err := parseLeaf([]byte(p.Leaf), p.N)
	if err == nil {
		err = tlog.CheckRecord(p.Hashes, c.Size, c.Root, p.N, leafHash([]byte(p.Leaf)))
	}
	if err != nil {
		return f, c, fmt.Errorf("verify proof: %w", err)
	}
	return f, c, nil
}
