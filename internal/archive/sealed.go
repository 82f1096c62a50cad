package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

// sealedSegment is a full segment in a file, ready to be appended to every repository.
type sealedSegment struct {
	pack.Sealed
	path   string
	opener func() (io.ReadCloser, error) // where there is no file
}

func (s *sealedSegment) open() (io.ReadCloser, error) {
	if s.opener != nil {
		return s.opener()
	}
	return os.Open(s.path)
}

// shelf keeps sealed segments in a folder until every repository has them:
//
//	00000000000000000042.segment   the bytes
//	00000000000000000042.json      what they are; written last, makes the segment exist
//	cut.json                       where the next segment begins, when it cannot be seen from the last one here
type shelf struct {
	dir  string
	more signal       // a segment was put
	held atomic.Int64 // bytes of all segments

	mu       sync.Mutex
	next     uint64
	segments []sealedSegment
	numbers  []uint64
	cut      history.Moment // the end of the last segment; zero if none was ever cut
}

const (
	segmentExt = ".segment"
	metaExt    = ".json"
	cutName    = "cut.json"
)

// openShelf reads the folder and removes what was not finished.
func openShelf(dir string) (*shelf, error) {
	s := &shelf{dir: dir, next: 1}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open sealed segments: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open sealed segments: %w", err)
	}
	return s, nil
}

func (s *shelf) load() error {
	b, err := os.ReadFile(filepath.Join(s.dir, cutName))
	if err == nil {
		err = json.Unmarshal(b, &s.cut)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", cutName, err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	known := map[string]bool{cutName: true}
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), metaExt)
		var n uint64
		if _, err := fmt.Sscanf(number, "%020d", &n); !ok || err != nil || s.name(n)+metaExt != e.Name() {
			continue
		}
		seg, err := s.read(n)
		if err != nil {
			return err
		}
		if seg == nil {
			continue
		}
		known[e.Name()], known[number+segmentExt] = true, true
		s.segments, s.numbers, s.next = append(s.segments, *seg), append(s.numbers, n), n+1
		s.cut = history.Moment{Position: seg.Segment.To, Time: seg.Segment.Until}
		s.held.Add(seg.Size)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// read gives a segment, or nil if its bytes are not all there: it is then cut again from the spool.
func (s *shelf) read(n uint64) (*sealedSegment, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, s.name(n)+metaExt))
	if err != nil {
		return nil, err
	}
	seg := &sealedSegment{path: filepath.Join(s.dir, s.name(n)+segmentExt)}
	info, err := os.Stat(seg.path)
	if json.Unmarshal(b, &seg.Sealed) != nil || err != nil || info.Size() != seg.Size {
		return nil, nil
	}
	return seg, nil
}

func (s *shelf) name(n uint64) string { return fmt.Sprintf("%020d", n) }

// put makes a segment durable; write writes its bytes.
func (s *shelf) put(write func(w io.Writer) (pack.Sealed, error)) (sealedSegment, error) {
	s.mu.Lock()
	n := s.next
	s.mu.Unlock()
	seg := sealedSegment{path: filepath.Join(s.dir, s.name(n)+segmentExt)}
	f, err := os.OpenFile(seg.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return seg, err
	}
	seg.Sealed, err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return seg, errors.Join(err, os.Remove(seg.path))
	}
	meta, err := json.Marshal(seg.Sealed)
	if err == nil {
		err = atomicfile.Write(filepath.Join(s.dir, s.name(n)+metaExt), meta, 0o600)
	}
	if err != nil {
		return seg, errors.Join(err, os.Remove(seg.path))
	}
	defer s.more.wake()
	s.held.Add(seg.Size)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = n + 1
	s.segments, s.numbers = append(s.segments, seg), append(s.numbers, n)
	s.cut = history.Moment{Position: seg.Segment.To, Time: seg.Segment.Until}
	return seg, nil
}

// end is where the next segment begins; zero if none was ever cut.
func (s *shelf) end() history.Moment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

// after gives the first segment that goes beyond p.
func (s *shelf) after(p history.Position) (sealedSegment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := sort.Search(len(s.segments), func(i int) bool { return p.Before(s.segments[i].Segment.To) })
	if i == len(s.segments) {
		return sealedSegment{}, false
	}
	return s.segments[i], true
}

// release deletes the segments that end at or before to.
func (s *shelf) release(to history.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segments) == 0 || to.Before(s.segments[0].Segment.To) {
		return nil
	}
	b, err := json.Marshal(s.cut)
	if err == nil {
		err = atomicfile.Write(filepath.Join(s.dir, cutName), b, 0o600)
	}
	for err == nil && len(s.segments) > 0 && !to.Before(s.segments[0].Segment.To) {
		if err = os.Remove(filepath.Join(s.dir, s.name(s.numbers[0])+metaExt)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = os.Remove(s.segments[0].path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		s.held.Add(-s.segments[0].Size)
		s.segments, s.numbers = s.segments[1:], s.numbers[1:]
	}
	if err != nil {
		return fmt.Errorf("release sealed segments: %w", err)
	}
	return nil
}

// stats says how many segments wait and how many bytes they have.
func (s *shelf) stats() (count int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.segments), s.held.Load()
}
