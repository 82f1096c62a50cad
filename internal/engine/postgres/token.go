package postgres

import (
	"encoding/json"
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// token is what a bookmark says besides its position. Everything in it may be missing: then it is not known.
type token struct {
	System  string  `json:"system,omitempty"`  // identifier of the cluster
	Next    wal.LSN `json:"next,omitempty"`    // the next byte to ship, where that is not the position
	Last    wal.LSN `json:"last,omitempty"`    // start of the record that ends at the position
	Sum     uint32  `json:"sum,omitempty"`     // its checksum
	History uint32  `json:"history,omitempty"` // timeline whose history file was shipped
}

func (t token) encode() []byte {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // numbers and a string
	}
	return b
}

// bookmarked is a bookmark as it is understood.
type bookmarked struct {
	token
	position history.Position
}

func readBookmark(b engine.Bookmark) (bookmarked, error) {
	m := bookmarked{position: b.Position}
	if len(b.Token) > 0 {
		if err := json.Unmarshal(b.Token, &m.token); err != nil {
			return m, fmt.Errorf("read bookmark at %s: %w", b.Position, err)
		}
	}
	return m, nil
}

// next is the next byte to ship.
func (m bookmarked) next() wal.LSN {
	if m.Next == 0 {
		return wal.LSN(m.position.Seq)
	}
	return m.Next
}

// origin is where the stream has to begin, and the record that ends there, if that is known: at the last record that is
// here, to see that the server still has the same one, unless that lies in an older file, which the server may have
// removed.
func (m bookmarked) origin(segmentSize uint64) (from, prev wal.LSN) {
	at := wal.LSN(m.position.Seq)
	start := min(at, m.next())
	switch {
	case m.Last == 0 || start != at:
		return start, 0
	case m.Last < start && m.Last.SegmentStart(segmentSize) == start.SegmentStart(segmentSize):
		return m.Last, 0
	}
	return start, m.Last
}
