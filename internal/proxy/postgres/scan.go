package postgres

import "strings"

// scan reads the texts of statements as they pass and notes what a session may have done that no view shows. It knows
// words, not SQL: what it takes for a setting or a COMMIT may be neither, and nothing is missed for a comment or a string.
type scan struct {
	mayCommit bool     // a statement may end a transaction
	doubt     string   // what can not be moved, "" if nothing was seen
	names     []string // of settings with a dot in their name, which no view shows

	word    [64]byte
	n       int  // of word; more than it holds means a word that matters to nobody
	begin   bool // the next word begins a statement
	comment byte // while begin: '-' or '/' were seen once (half a sign), 'l' in a line, 'b' in a block
	after   byte // what the next word means: 's' it follows SET, 'c' it follows set_config, 'q' a quote stands between
}

// reset prepares for a text.
func (s *scan) reset() { s.n, s.begin, s.comment, s.after = 0, true, 0, 0 }

// maxNames bounds the settings that are remembered of a session.
const maxNames = 32

// feed reads a part of a text.
func (s *scan) feed(b []byte) {
	for _, c := range b {
		switch k := kinds[c]; {
		case k == 0: // a sign
			if s.n > 0 {
				s.end()
			}
			s.sign(c)
		case c == '"': // quotes of an identifier change nothing about which setting it is
		default:
			if s.n < len(s.word) {
				s.word[s.n] = k
			}
			s.n++
		}
	}
}

// done ends a text.
func (s *scan) done() {
	if s.n > 0 {
		s.end()
	}
}

// kinds gives the lower case of each byte that may stand in a word, 0 for the rest.
var kinds = func() (k [256]byte) {
	for c := range k {
		switch b := byte(c); {
		case b >= 'A' && b <= 'Z':
			k[c] = b + 'a' - 'A'
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9', b == '_', b == '.', b == '$', b == '"', b >= 0x80:
			k[c] = b
		}
	}
	return k
}()

// sign is a byte between words.
func (s *scan) sign(c byte) {
	switch c {
	case ';', 0:
		s.begin, s.comment, s.after = true, 0, 0
		return
	case '\'':
		if s.after == 'c' {
			s.after = 'q'
		}
	case '(', ' ', '\n', '\t', '\r':
	default:
		if s.after == 'c' || s.after == 'q' {
			s.doubt = "it called set_config with a name that is not in the statement"
		}
		s.after = 0
	}
	if !s.begin {
		return
	}
	switch {
	case s.comment == 'l' && c == '\n', s.comment == '*' && c == '/':
		s.comment = 0
	case s.comment == 'l':
	case s.comment == 'b' && c == '*':
		s.comment = '*'
	case s.comment == '*' && c != '*':
		s.comment = 'b'
	case s.comment == 'b', s.comment == '*':
	case s.comment == '-' && c == '-':
		s.comment = 'l'
	case s.comment == '/' && c == '*':
		s.comment = 'b'
	case c == '-' || c == '/':
		s.comment = c
	default:
		s.comment = 0
	}
}

// end is the end of a word.
func (s *scan) end() {
	n := s.n
	s.n = 0
	if n > len(s.word) {
		s.long()
		return
	}
	w := s.word[:n]
	if s.comment == '*' {
		s.comment = 'b'
	}
	if s.begin {
		switch string(w) {
		case "commit", "end", "prepare":
			s.mayCommit = true
		case "load":
			s.doubt = "it loaded a library"
		}
		if s.comment != 'l' && s.comment != 'b' {
			s.begin = false
		}
	}
	s.meaning(w)
}

func (s *scan) long() {
	if s.after == 'c' || s.after == 'q' {
		s.doubt = "it called set_config with a name that is too long to remember"
	}
	s.begin = s.begin && s.comment != 0
	s.after = 0
}

// meaning looks at a word anywhere in a text.
func (s *scan) meaning(w []byte) {
	switch after := s.after; {
	case after == 's' && (string(w) == "session" || string(w) == "local"):
		return
	case after != 0:
		s.after = 0
		if s.setting(w, after) {
			return
		}
	}
	if w[0] != 's' && w[0] != 'c' && w[0] != 'l' && w[0] != 'p' {
		return
	}
	switch string(w) {
	case "set":
		s.after = 's'
	case "set_config", "pg_catalog.set_config":
		s.after = 'c'
	case "setseed", "pg_catalog.setseed":
		s.doubt = "it set the seed of random()"
	case "currval", "lastval", "pg_catalog.currval", "pg_catalog.lastval":
		s.doubt = "it asks what a sequence gave to this session"
	}
}

// setting notes the name behind SET or set_config.
func (s *scan) setting(w []byte, after byte) bool {
	dot := strings.IndexByte(string(w), '.') > 0
	switch {
	case after == 'c':
		s.doubt = "it called set_config with a name that is not in the statement"
	case !dot:
		return false // one of the server's own settings, which a view shows, or none
	default:
		s.note(string(w))
	}
	return true
}

func (s *scan) note(name string) {
	for _, n := range s.names {
		if n == name {
			return
		}
	}
	if len(s.names) == maxNames {
		s.doubt = "it has set more settings of its own than are remembered"
		return
	}
	s.names = append(s.names, name)
}
