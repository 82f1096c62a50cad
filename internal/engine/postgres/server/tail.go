package server

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
)

// maxTail is how much of the log is kept, bytes.
const maxTail = 16 << 10

// tail keeps the end of what a server logs, and the last line that says why it gave up.
type tail struct {
	line func(string)

	mu    sync.Mutex
	part  []byte // of a line that has not ended
	kept  []byte
	fatal string
}

// fatalLine matches the lines with which a server gives up.
var fatalLine = regexp.MustCompile(`(?:^|\s)(?:FATAL|PANIC):\s+(.*)`)

// Write takes a part of the log.
func (t *tail) Write(p []byte) (int, error) {
	for _, l := range t.take(p) {
		if t.line != nil {
			t.line(l)
		}
	}
	return len(p), nil
}

// take keeps p and returns the lines that it ends.
func (t *tail) take(p []byte) (lines []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxTail; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	t.part = append(t.part, p...)
	for {
		l, rest, ok := bytes.Cut(t.part, []byte("\n"))
		if !ok && len(t.part) < maxTail {
			return lines
		}
		lines = append(lines, string(l))
		if reason := fatalOf(string(l)); reason != "" {
			t.fatal = reason
		}
		t.part = append(t.part[:0], rest...)
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// reason is the last line with which the server gave up, "" if there was none.
func (t *tail) reason() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fatal
}

// fatalOf is what a line gives as the reason for the end of a server. What clients are told while a server starts or
// stops is none.
func fatalOf(line string) string {
	m := fatalLine.FindStringSubmatch(line)
	if m == nil || strings.HasPrefix(m[1], "the database system is ") || strings.HasPrefix(m[1], "terminating ") {
		return ""
	}
	return strings.TrimSpace(m[1])
}

// endOf reads the end of a log file, as far as it can be read.
func endOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxTail {
		_, _ = f.Seek(-maxTail, io.SeekEnd) // a pipe is read from where it stands
	}
	b, _ := io.ReadAll(io.LimitReader(f, maxTail))
	return string(b)
}

// reasonIn is the last reason in a whole log.
func reasonIn(log string) (reason string) {
	for l := range strings.Lines(log) {
		if r := fatalOf(strings.TrimRight(l, "\r\n")); r != "" {
			reason = r
		}
	}
	return reason
}
