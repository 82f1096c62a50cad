package postgres

import "strings"

// scan reads the texts of statements as they pass and notes what a session may have done that no view shows. It knows
// words, not SQL: what it takes for a setting or a COMMIT may be neither, and nothing is missed for a comment or a string.
type scan struct {
	mayCommit bool     // a statement may commit a transaction
	over      bool     // a statement may end a transaction, or go on in one that had failed: COMMIT, ROLLBACK
	more      bool     // and another one came behind it, which is part of that one no more
	doubt     string   // what can not be moved, "" if nothing was seen
	names     []string // of settings with a dot in their name, which no view shows

	word  [64]byte
	n     int  // of word; more than it holds means a word that matters to nobody
	begin bool // the next word begins a statement
	depth int  // while begin: of comments in comments
	line  bool // while begin: in a comment up to the end of the line
	last  byte // while begin: the sign before this one, 0 if a word was between
	after byte // what the next word means: 's' it follows SET, 'c' it follows set_config, 'q' a quote stands between, 'e' that name was read
}

// reset prepares for a text.
func (s *scan) reset() {
	s.n, s.after = 0, 0
	s.start()
}

// start is the beginning of a statement.
func (s *scan) start() { s.begin, s.depth, s.line, s.last = true, 0, false, 0 }

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
	s.ended()
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
	if c == ';' || c == 0 {
		s.ended()
		s.after = 0
		s.start()
		return
	}
	if s.after != 0 {
		s.between(c)
	}
	if s.begin {
		s.remark(c)
	}
}

const unseen = "it called set_config with a name that is not in the statement"

// between looks at a sign behind SET or set_config, where only some leave the name to come.
func (s *scan) between(c byte) {
	switch c {
	case ' ', '\n', '\t', '\r':
		return
	case '(':
		if s.after == 'c' {
			return
		}
	case '\'':
		switch s.after {
		case 'c':
			s.after = 'q'
			return
		case 'e':
			return
		}
	case ',':
		if s.after == 'e' {
			s.after = 0
			return
		}
	}
	s.ended()
	s.after = 0
}

// ended doubts a call of set_config whose name did not come as a plain literal.
func (s *scan) ended() {
	if s.after != 0 && s.after != 's' {
		s.doubt = unseen
	}
}

// remark follows comments before the first word of a statement. Words in them are looked at like first words: a string
// with a semicolon may have led here, and then it was no comment.
func (s *scan) remark(c byte) {
	last := s.last
	s.last = c
	switch {
	case s.line:
		s.line = c != '\n'
	case s.depth > 0 && last == '*' && c == '/':
		s.depth--
		s.last = 0
	case last == '/' && c == '*':
		s.depth++
		s.last = 0
	case s.depth == 0 && last == '-' && c == '-':
		s.line = true
	}
}

// end is the end of a word.
func (s *scan) end() {
	n := s.n
	s.n, s.last = 0, 0
	w := s.word[:min(n, len(s.word))]
	if n > len(s.word) {
		w = []byte("?")
	}
	if s.begin {
		s.next()
		switch string(w) {
		case "commit", "end", "prepare":
			s.mayCommit, s.over = true, true
		case "rollback", "abort":
			s.over = true
		case "load":
			s.doubt = "it loaded a library"
		}
		s.begin = s.line || s.depth > 0
	}
	s.meaning(w)
}

// next is the beginning of something that the server carries out.
func (s *scan) next() { s.more = s.more || s.over }

// meaning looks at a word anywhere in a text.
func (s *scan) meaning(w []byte) {
	switch after := s.after; {
	case after == 's' && (string(w) == "session" || string(w) == "local"):
		return
	case after == 's':
		s.after = 0
		if strings.IndexByte(string(w), '.') > 0 {
			s.note(string(w))
			return
		}
	case after == 'q':
		s.after = 'e'
		if strings.IndexByte(string(w), '.') > 0 {
			s.note(string(w))
		}
		return
	case after != 0:
		s.doubt, s.after = unseen, 0
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
