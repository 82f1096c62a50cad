package sqlite

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// head is where capturing stands: everything up to it is known, and what it is made of.
type head struct {
	position history.Position
	until    time.Time // all that was committed up to then is in position
	pageSize uint32
	pages    uint32 // size of the database
	sum      uint64 // of all pages

	// In WAL mode: the last frame that was captured and the running checksum there.
	wal   bool
	salt  salt
	frame uint32
	chain walSum

	change uint32 // In rollback-journal mode: the change counter.
}

// token is the engine's part of a bookmark. Its JSON is kept by others for as long as a source lives, so fields are
// only ever added.
type token struct {
	Version  int    `json:"v"`
	PageSize uint32 `json:"page_size"`
	Pages    uint32 `json:"pages"`
	Sum      uint64 `json:"sum,string"`
	WAL      bool   `json:"wal"`
	Salt     uint64 `json:"salt,string,omitempty"`
	Frame    uint32 `json:"frame,omitempty"`
	Chain    walSum `json:"chain"`
	Change   uint32 `json:"change,omitempty"`
}

func (h head) token() []byte {
	b, err := json.Marshal(token{Version: 1, PageSize: h.pageSize, Pages: h.pages, Sum: h.sum,
		WAL: h.wal, Salt: uint64(h.salt), Frame: h.frame, Chain: h.chain, Change: h.change})
	if err != nil {
		panic(err) // a struct of numbers always marshals
	}
	return b
}

func (h head) bookmark() engine.Bookmark {
	return engine.Bookmark{Position: h.position, Token: h.token(), Time: h.until}
}

// headOf reads a bookmark back.
func headOf(b engine.Bookmark) (head, error) {
	if len(b.Token) == 0 {
		return head{}, &history.GapError{From: b.Position, Reason: "the bookmark does not say where in the WAL it stands"}
	}
	var t token
	if err := json.Unmarshal(b.Token, &t); err != nil {
		return head{}, fmt.Errorf("read bookmark: %w", err)
	}
	if t.Version != 1 {
		return head{}, fmt.Errorf("read bookmark: version %d is not known", t.Version)
	}
	if t.Pages > 0 && !validPageSize(t.PageSize) || b.Position.Seq == 0 {
		return head{}, fmt.Errorf("read bookmark: page size %d at %s is not valid", t.PageSize, b.Position)
	}
	return head{position: b.Position, until: b.Time, pageSize: t.PageSize, pages: t.Pages, sum: t.Sum,
		wal: t.WAL, salt: salt(t.Salt), frame: t.Frame, chain: t.Chain, change: t.Change}, nil
}

// frames tells where in the current generation of the WAL the newest captured version of a page stands.
type frames map[uint32]version

type version struct {
	frame uint32
	sum   uint64
	known bool // sum was computed
}

func (f frames) clone() frames { return maps.Clone(f) }

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
