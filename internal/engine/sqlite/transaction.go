package sqlite

import (
	"io"
	"slices"
	"time"

	"github.com/superfly/ltx"
)

// transaction is one commit on its way into an LTX file.
type transaction struct {
	txid     uint64
	pageSize uint32
	before   uint32 // size of the database before it, in pages
	commit   uint32 // and after it
	time     time.Time
	pages    []uint32 // changed ones in ascending order, each at most commit, without the lock page
	salt     salt     // of the WAL it came from, zero for others
	offset   int64    // of its first frame
	size     int64    // of all its frames

	after *uint64 // the sum after it where it is known already; oldSum is not asked then

	read   func(page uint32, into []byte) error // its new content
	oldSum func(page uint32) (uint64, error)    // of its content before; asked only for pages up to before
	newSum func(page uint32, sum uint64)        // told the sum of each page as it is written
}

// normalize sorts pages and adds those by which the database grew without a write: they hold what read finds there, and
// naming them makes a log that never depends on what lay beyond an earlier end of the file.
func (t *transaction) normalize() {
	lock := lockPage(t.pageSize)
	have := map[uint32]bool{}
	if t.commit > t.before {
		for _, p := range t.pages {
			have[p] = true
		}
		for p := t.before + 1; p <= t.commit; p++ {
			if !have[p] {
				t.pages = append(t.pages, p)
			}
		}
	}
	t.pages = slices.DeleteFunc(t.pages, func(p uint32) bool { return p > t.commit || p == lock })
	slices.Sort(t.pages)
	t.pages = slices.Compact(t.pages)
}

// encode writes the LTX file of t to w and returns the sum of the database after it.
func (t *transaction) encode(w io.Writer, sum uint64) (uint64, error) {
	t.normalize()
	h := ltx.Header{Version: ltx.Version, PageSize: t.pageSize, Commit: t.commit, MinTXID: ltx.TXID(t.txid), MaxTXID: ltx.TXID(t.txid),
		Timestamp: t.time.UnixMilli(), PreApplyChecksum: checksum(sum)}
	if t.salt != 0 {
		h.WALSalt1, h.WALSalt2, h.WALOffset, h.WALSize = uint32(t.salt>>32), uint32(t.salt), t.offset, t.size
	}
	enc, err := newLTXWriter(w, h)
	if err != nil {
		return 0, err
	}
	if sum, err = t.takeOut(sum); err != nil {
		return 0, err
	}
	page := make([]byte, t.pageSize)
	for _, p := range t.pages {
		if err := t.read(p, page); err != nil {
			return 0, err
		}
		raw := sumPage(p, page)
		now := raw.masked()
		sum ^= now
		t.newSum(p, now)
		if err := enc.summed(p, page, raw); err != nil {
			return 0, err
		}
	}
	if t.after != nil {
		sum = *t.after
	}
	return sum, enc.close(checksum(sum))
}

// takeOut removes from sum the pages that are changed or cut off.
func (t *transaction) takeOut(sum uint64) (uint64, error) {
	if t.after != nil {
		return sum, nil
	}
	lock := lockPage(t.pageSize)
	for p := t.commit + 1; p <= t.before; p++ {
		if p == lock {
			continue
		}
		old, err := t.oldSum(p)
		if err != nil {
			return 0, err
		}
		sum ^= old
	}
	for _, p := range t.pages {
		if p > t.before {
			break
		}
		old, err := t.oldSum(p)
		if err != nil {
			return 0, err
		}
		sum ^= old
	}
	return sum, nil
}
