package sqlite

import (
	"encoding/binary"
	"io"
	"os"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// TestJournalLeavesPagesOut is why the journal is not read: a commit that takes pages from the free list writes them
// without naming them in its journal, since a rollback would not need what they held. Only a comparison finds them all.
func TestJournalLeavesPagesOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, "persist") // this mode leaves the journal's records in place after the commit
	r.sql(t, "CREATE TABLE room AS WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<200) SELECT randomblob(3000) AS b FROM c")
	r.sql(t, "DELETE FROM room")
	r.follow(t)
	before := r.src.lastTable(t)
	r.sql(t, "INSERT INTO room SELECT randomblob(3000) FROM (WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<100) SELECT i FROM c)")
	named := journalPages(t, r.path+"-journal", 4096)
	f := enginetest.Follow(t, r.src, r.rec)
	enginetest.Settled(t, harness, r.rec)
	enginetest.Until(t, 5*time.Second, "the changes", func() bool { return r.src.Counters().Commits > 0 })
	f.Stop()
	missing := 0
	changed := before.changes(r.src.lastTable(t))
	for _, p := range changed {
		if !named[p] {
			missing++
		}
	}
	t.Logf("%d pages changed, the journal names %d, %d of the changed ones are not among them", len(changed), len(named), missing)
	if missing == 0 {
		t.Error("the journal names every page that changed: it could replace the comparison")
	}
}

// lastTable reads the file as it is.
func (s *Source) lastTable(t *testing.T) table {
	t.Helper()
	f, err := os.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	u, err := tableOf(t.Context(), f, 4096, uint32(p.Size()/4096))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// journalPages lists the pages in a journal whose header was zeroed by the commit (https://www.sqlite.org/fileformat2.html#the_rollback_journal).
func journalPages(t *testing.T, path string, pageSize int64) map[uint32]bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pages := map[uint32]bool{}
	record := make([]byte, pageSize+8)
	for off := int64(512); ; off += int64(len(record)) {
		if _, err := f.ReadAt(record, off); err == io.EOF {
			return pages
		} else if err != nil {
			t.Fatal(err)
		}
		pages[binary.BigEndian.Uint32(record)] = true
	}
}
