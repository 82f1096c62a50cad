package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Severity says how much a notice matters. The zero value is Info.
type Severity int

// The severities, from the least to the worst.
const (
	Info     Severity = iota // worth knowing; nobody needs to act
	Warning                  // a promise is in danger, or a small one is broken; act today
	Critical                 // data or time that was promised is being lost; act now, at night too
)

var severityNames = [...]string{Info: "info", Warning: "warning", Critical: "critical"}

// String returns the word that ParseSeverity reads.
func (s Severity) String() string {
	if s < Info || s > Critical {
		return fmt.Sprintf("severity(%d)", int(s))
	}
	return severityNames[s]
}

// ParseSeverity reads "info", "warning" or "critical".
func ParseSeverity(word string) (Severity, error) {
	for s, name := range severityNames {
		if word == name {
			return Severity(s), nil
		}
	}
	return 0, fmt.Errorf("parse severity: %q is none of info, warning, critical", word)
}

// MarshalText writes the word of s.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Severity) UnmarshalText(text []byte) error {
	got, err := ParseSeverity(string(text))
	if err == nil {
		*s = got
	}
	return err
}

// Notice is one matter that people should know of. It must hold no secret: it is sent to others, kept on disk and logged.
type Notice struct {
	Fingerprint string    `json:"fingerprint"`      // the same as long as it is the same matter: "rpo/orders/offsite"
	Objective   string    `json:"objective"`        // what is not kept, or what kind of event it is: "rpo", "drill", "gap"
	Source      string    `json:"source,omitempty"` // empty: of no source, told whatever sources a route names
	Class       string    `json:"class,omitempty"`  // the class of the source
	Severity    Severity  `json:"severity"`
	Since       time.Time `json:"since,omitzero"` // since when it is so; zero means when it was first reported
	Ended       time.Time `json:"ended,omitzero"` // zero while it lasts
	Reason      string    `json:"reason"`         // what is so, in one sentence
	Do          string    `json:"do,omitempty"`   // what the reader can do
	Host        string    `json:"host,omitempty"` // where it was seen; empty means the notifier's own host
}

// Longest texts, in characters: a server's error may be a page, and a message is read on a telephone.
const (
	maxName = 200
	maxText = 600
)

// tidied returns n in one line a field and of bounded length, so that a foreign error neither forges a mail header nor
// fills the outbox.
func (n Notice) tidied(host string, now time.Time) Notice {
	for _, name := range []*string{&n.Fingerprint, &n.Objective, &n.Source, &n.Class, &n.Host} {
		*name = line(*name, maxName)
	}
	n.Reason, n.Do = line(n.Reason, maxText), line(n.Do, maxText)
	if n.Host == "" {
		n.Host = host
	}
	if n.Since.IsZero() {
		n.Since = now
	}
	n.Severity = min(max(n.Severity, Info), Critical)
	return n
}

// line returns text without control characters and runs of blanks, cut to limit characters.
func line(text string, limit int) string {
	if len(text) <= limit && plain(text) {
		return text
	}
	text = strings.ToValidUTF8(text, "�")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	return cut(text, limit)
}

// plain says that text is ASCII and has single blanks only, as nearly all texts are: it spares 2,000 notices a second the
// rest.
func plain(text string) bool {
	blank := true
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || c == ' ' && blank {
			return false
		}
		blank = c == ' '
	}
	return !blank || text == ""
}

// cut returns text with at most limit characters, the last of which says that there was more.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}
