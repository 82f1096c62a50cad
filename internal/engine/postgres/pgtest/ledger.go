package pgtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Ledger is an application that writes, and what is known of it outside the server. Each of its writers makes commits
// number 1, 2, 3 … one after the other: number n puts row n into table ledger and changes one of its rows of table tally,
// so that what the server holds after k commits of a writer is known to the byte.
type Ledger struct {
	Points bool // behind each commit stands a restore point, for moments ByName

	seed string

	mu      sync.Mutex
	writers []*writer
}

// Entry is one commit.
type Entry struct {
	Writer int
	N      int64
	XID    uint32
	Stamp  time.Time // the server's time in the commit record; zero where it could not be asked for
	Before wal.LSN   // the commit record lies behind it
	After  wal.LSN   // and ends at or before it; zero where it could not be asked for
	Point  wal.LSN   // end of the restore point behind it; zero where there is none
	Acked  bool      // the server answered that it was committed

	Answered time.Time // when the answer came, by our clock
}

const slots = 89

// NewLedger makes the tables and a ledger of so many writers, who do nothing yet.
func NewLedger(t testing.TB, c *Cluster, writers int) *Ledger {
	t.Helper()
	c.Exec(t, `create table ledger (writer int, n bigint, xid bigint not null, body text not null, primary key (writer, n));
		create table tally (writer int, slot int, n bigint not null, sum bigint not null, primary key (writer, slot))`)
	l := &Ledger{seed: t.Name()}
	for i := range writers {
		l.writers = append(l.writers, &writer{ledger: l, id: i, dial: c.Dial})
	}
	c.Exec(t, fmt.Sprintf("insert into tally select w, s, 0, 0 from generate_series(0, %d) w, generate_series(0, %d) s", writers-1, slots-1))
	return l
}

// Entries are the commits so far of all writers, those without an answer included.
func (l *Ledger) Entries() (all []Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.writers {
		all = append(all, w.entries...)
	}
	return all
}

// Acked is the number of commits that were answered, of all writers.
func (l *Ledger) Acked() (n int64) {
	for _, k := range l.acked() {
		n += k
	}
	return n
}

func (l *Ledger) acked() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]int64, len(l.writers))
	for i, w := range l.writers {
		for _, e := range w.entries {
			if e.Acked {
				all[i] = e.N
			}
		}
	}
	return all
}

// body is the text of row n: some hundred bytes that compress badly, now and then so many that they are stored aside.
func (l *Ledger) body(writer int, n int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", l.seed, writer, n))
	text := hex.EncodeToString(sum[:])
	if n%23 != 0 {
		return text[:16+n%48] + strings.Repeat(text[:4], int(n%40))
	}
	var b strings.Builder
	for i := range 80 {
		sum = sha256.Sum256(fmt.Appendf(sum[:], "%d", i))
		b.WriteString(hex.EncodeToString(sum[:]))
	}
	return b.String()
}

// amount is what commit n adds to its row of the tally.
func amount(n int64) int64 { return n*n%1009 + 1 }

// tally is what a writer's rows of the tally hold after k commits: the last number and the sum.
func tally(k int64) (last, sum [slots]int64) {
	for n := int64(1); n <= k; n++ {
		last[n%slots] = n
		sum[n%slots] += amount(n)
	}
	return last, sum
}
