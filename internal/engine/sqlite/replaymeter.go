package sqlite

import "github.com/backstaydb/backstay/internal/history"

// meter tells how far a replay is, in bytes of log: those of a segment count as its chosen files are applied, which may
// be far less.
type meter struct {
	tell        func(done, total int64) // may be nil
	done, total int64                   // of segments

	bytes   int64 // of the segment that is applied
	chosen  int64 // bytes of its files
	applied int64 // of them
}

func newMeter(segments []history.Segment, tell func(done, total int64)) meter {
	m := meter{tell: tell}
	for _, s := range segments {
		m.total += s.Bytes
	}
	return m
}

// begin says that files of a segment are applied next.
func (m *meter) begin(s history.Segment, files []logFile) {
	m.bytes, m.chosen, m.applied = s.Bytes, 0, 0
	for i := range files {
		m.chosen += files[i].size()
	}
}

// add says that a file of n bytes was applied.
func (m *meter) add(n int64) {
	m.applied += n
	if m.tell != nil {
		m.tell(m.done+int64(float64(m.bytes)*float64(m.applied)/float64(m.chosen)), m.total)
	}
}

// end says that all files of the segment were.
func (m *meter) end() {
	m.done += m.bytes
	m.bytes, m.applied = 0, 0
}
