package ha

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// stamper writes lines with their moment, to the millisecond: daemons say seconds.
type stamper struct {
	to   io.Writer
	mu   sync.Mutex
	rest []byte
}

func (s *stamper) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, b...)
	for {
		line, rest, ok := bytes.Cut(s.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		if _, err := fmt.Fprintf(s.to, "%s %s\n", time.Now().Format("05.000"), line); err != nil {
			return 0, err
		}
		s.rest = append([]byte(nil), rest...)
	}
}
