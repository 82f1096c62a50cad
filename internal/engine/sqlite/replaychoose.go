package sqlite

import (
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
)

// logFile is one LTX file, in one or more parts that follow each other: entries of the segment that it begins in, and those
// of newer segments that the rest of a large commit may lie in.
type logFile struct {
	from, to uint64
	entries  []engine.LogEntry // whose capacity is their number: the array is the segment's
	beyond   []logPart
}

// logPart is an entry and the number of the segment that holds it.
type logPart struct {
	segment int
	entry   engine.LogEntry
}

func (f *logFile) name() string { return fileName(f.from, f.to) }

// offset is where in the file its first part belongs.
func (f *logFile) offset() int64 { return f.entries[0].Offset }

// end is where the part after those of its segment belongs.
func (f *logFile) end() int64 {
	last := f.entries[len(f.entries)-1]
	return last.Offset + last.Size
}

func (f *logFile) size() (n int64) {
	for _, e := range f.entries {
		n += e.Size
	}
	for _, p := range f.beyond {
		n += p.entry.Size
	}
	return n
}

// holds reports whether f stands for all commits of from..to.
func (f *logFile) holds(from, to uint64) bool { return f != nil && f.from <= from && to <= f.to }

// choose lists the files of one segment that are to be applied, oldest first, none with a commit after stop. The condensed
// file takes the place of those that it stands for if it goes no further than stop. The first may lack its beginning, which an
// older segment has.
func choose(entries []engine.LogEntry, stop uint64) ([]logFile, error) {
	condensed, err := condensedUpTo(entries, stop)
	if err != nil {
		return nil, err
	}
	var files []logFile
	taken := false
	for i, e := range entries {
		if e.Condensed {
			continue
		}
		from, to, err := parseFileName(e.File)
		if err != nil {
			return nil, err
		}
		if !condensed.holds(from, to) {
			files, err = take(files, logFile{from: from, to: to, entries: entries[i : i+1 : i+1]})
		} else if !taken {
			files, err = take(files, *condensed)
			taken = true
		}
		if err != nil {
			return nil, err
		}
	}
	if !taken && condensed != nil {
		if files, err = take(files, *condensed); err != nil {
			return nil, err
		}
	}
	for n := len(files); n > 0 && files[n-1].to > stop; n-- {
		files = files[:n-1]
	}
	return files, nil
}

// condensedUpTo finds the condensed file that ends at stop or before; nil for none. There is none where the segment begins
// inside a file that it names: it cannot hold what the segment before has of it.
func condensedUpTo(entries []engine.LogEntry, stop uint64) (*logFile, error) {
	var found *logFile
	for i, e := range entries {
		if !e.Condensed {
			continue
		}
		from, to, err := parseFileName(e.File)
		if err != nil {
			return nil, err
		}
		if to <= stop {
			found = &logFile{from: from, to: to, entries: entries[i : i+1 : i+1]}
		}
	}
	for _, e := range entries {
		if e.Condensed {
			continue
		}
		from, to, err := parseFileName(e.File)
		if err == nil && e.Offset > 0 && found.holds(from, to) {
			found = nil
		}
		return found, err
	}
	return found, nil
}

// take puts a file, or the next part of the one before, behind what was chosen of its segment. A file that begins again, after
// a crash in the middle of it, takes the place of its unfinished parts.
func take(files []logFile, f logFile) ([]logFile, error) {
	if len(files) == 0 {
		return append(files, f), nil
	}
	last := &files[len(files)-1]
	if f.offset() > 0 {
		if !last.continued(&f) {
			return nil, fmt.Errorf("log file %s: what is before its part at %d is missing", f.name(), f.offset())
		}
		last.entries = append(last.entries, f.entries...)
		return files, nil
	}
	if last.from == f.from {
		*last = f
		return files, nil
	}
	if last.to+1 != f.from {
		return nil, fmt.Errorf("log file %s does not follow %s", f.name(), last.name())
	}
	return append(files, f), nil
}

// continued reports whether g, which lacks its beginning, goes on where f ends.
func (f *logFile) continued(g *logFile) bool {
	return f.from == g.from && f.to == g.to && f.end() == g.offset()
}
