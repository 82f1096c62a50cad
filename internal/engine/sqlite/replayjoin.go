package sqlite

import "fmt"

// joint is where the files of a segment must meet those of the segments behind it.
type joint struct {
	next uint64   // the first commit of the oldest file that was chosen so far; zero for none
	rest *logFile // it, while its beginning was not found
}

// join makes the files of segment number i meet what was chosen of those behind it, and returns the ones that can be
// applied.
func (j *joint) join(files []logFile, i int) ([]logFile, error) {
	if n := len(files); n > 0 {
		last := &files[n-1]
		switch {
		case j.rest != nil && !last.continued(j.rest):
			return nil, fmt.Errorf("log file %s: what is before its part at %d is missing", j.rest.name(), j.rest.offset())
		case j.rest != nil:
			last.beyond, j.rest = j.rest.beyond, nil
		case j.next == 0:
		case last.from == j.next: // it was begun again, after a crash in the middle of it
			files = files[:n-1]
		case last.to+1 != j.next:
			return nil, fmt.Errorf("log file %s ends before commit %d, and the next one begins with %d", last.name(), last.to+1, j.next)
		}
	}
	if len(files) == 0 {
		return nil, nil
	}
	j.next = files[0].from
	if files[0].offset() > 0 {
		j.rest = files[0].without(i)
		files = files[1:]
	}
	return files, nil
}

// without is f as an older segment sees it: all of its parts lie beyond.
func (f *logFile) without(i int) *logFile {
	g := *f
	g.beyond = nil
	for _, e := range f.entries {
		g.beyond = append(g.beyond, logPart{i, e})
	}
	g.beyond = append(g.beyond, f.beyond...)
	return &g
}
