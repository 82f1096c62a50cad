package drill

import (
	"regexp"
	"strings"
	"sync"
)

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
	cut  bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - 2*maxOutput; over > 0 {
		t.kept, t.cut = append(t.kept[:0], t.kept[over:]...), true
	}
	return len(p), nil
}

// String is the last lines, as text that can be printed: a report is shown on terminals and pages.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(t.kept), "\uFFFD"))
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	cut := t.cut
	if over := len(lines) - outputRows; over > 0 {
		lines, cut = lines[over:], true
	}
	text = strings.Join(lines, "\n")
	if over := len(text) - maxOutput; over > 0 {
		text, cut = strings.ToValidUTF8(text[over:], ""), true
	}
	if cut {
		text = "…\n" + text
	}
	return text
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return short(lines[len(lines)-1], maxGot)
}

var secrets = []*regexp.Regexp{
	regexp.MustCompile(`(://[^/\s:@]*:)[^/\s@]+(@)`),
	regexp.MustCompile(`(?i)((?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key)\w*["']?\s*[=:]\s*["']?)[^\s"'&;,]+()`),
	regexp.MustCompile(`(AGE-SECRET-KEY-)[A-Z0-9]+()`),
	regexp.MustCompile(`(?i)(authorization:\s*\w+\s+)\S+()`),
}

// masked is text without what plainly is a secret: reports are stored in the open and shown to others.
func masked(text string) string {
	for _, s := range secrets {
		text = s.ReplaceAllString(text, "${1}•••${2}")
	}
	return text
}
