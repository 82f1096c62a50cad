package sqlite

import (
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
)

// choose takes the files of the next segment, of which the goal includes what is up to stop. The condensed file takes the
// place of those that it stands for if the goal includes all of it.
func (p *replay) choose(opened engine.LogSegment, stop uint64) error {
	entries := opened.Entries()
	condensed, err := condensedTo(opened, entries, stop)
	if err != nil {
		return err
	}
	taken := false
	for _, e := range entries {
		if e.Condensed {
			continue
		}
		from, to, err := parseFileName(e.File)
		if err != nil {
			return err
		}
		if !condensed.holds(from, to) {
			err = p.take(logFile{e.File, from, to, []logPart{{opened, e}}})
		} else if !taken {
			err, taken = p.take(condensed), true
		}
		if err != nil {
			return err
		}
	}
	if !taken && len(condensed.parts) > 0 {
		return p.take(condensed)
	}
	return nil
}

// condensedTo finds the condensed file that ends at stop. There is none where the segment begins inside a file that it
// names: it cannot hold what the segment before has of it.
func condensedTo(opened engine.LogSegment, entries []engine.LogEntry, stop uint64) (logFile, error) {
	var found logFile
	for _, e := range entries {
		if !e.Condensed {
			continue
		}
		from, to, err := parseFileName(e.File)
		if err != nil {
			return found, err
		}
		if to == stop {
			found = logFile{e.File, from, to, []logPart{{opened, e}}}
		}
	}
	for _, e := range entries {
		if e.Condensed {
			continue
		}
		from, to, err := parseFileName(e.File)
		if err == nil && e.Offset > 0 && found.holds(from, to) {
			found = logFile{}
		}
		return found, err
	}
	return found, nil
}

// holds reports whether f stands for all commits of from..to.
func (f logFile) holds(from, to uint64) bool { return len(f.parts) > 0 && f.from <= from && to <= f.to }

// take puts a file, or the next part of the one before, behind what was chosen. A file that begins again, after a crash in
// the middle of it, takes the place of its unfinished parts.
func (p *replay) take(f logFile) error {
	n, offset := len(p.files), f.parts[0].entry.Offset
	if offset > 0 {
		if n == 0 {
			return nil // the log begins inside a file, so the base has it
		}
		last := &p.files[n-1]
		if size := last.size(); last.name != f.name || size != offset {
			return fmt.Errorf("log file %s: what is before its part at %d is missing", f.name, offset)
		}
		last.parts = append(last.parts, f.parts...)
		return nil
	}
	if n > 0 && p.files[n-1].from == f.from {
		p.files = p.files[:n-1]
		n--
	}
	if n > 0 && p.files[n-1].to+1 != f.from {
		return fmt.Errorf("log file %s does not follow %s", f.name, p.files[n-1].name)
	}
	p.files = append(p.files, f)
	return nil
}

// settle drops what lies behind the goal, or was never finished.
func (p *replay) settle() {
	for n := len(p.files); n > 0 && p.files[n-1].to > p.position.Seq; n-- {
		p.files = p.files[:n-1]
	}
	for _, f := range p.files {
		p.total += f.size()
	}
}
