package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// Error is something wrong in the file, with the place.
type Error struct {
	File    string
	Line    int // from 1; 0 where no line is to blame
	Column  int
	Message string
	Excerpt string // the line and its neighbours, with a caret; "" where it could show a secret
	Advice  string
}

func (e *Error) Error() string {
	msg := "read " + e.File
	if e.Line > 0 {
		msg += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	msg += ": " + e.Message
	if e.Excerpt != "" {
		msg += "\n" + e.Excerpt
	}
	return msg
}

// Hint says what to do about it.
func (e *Error) Hint() string { return e.Advice }

// at makes an error that points to tok.
func (p *parser) at(tok *token.Token, message, advice string) *Error {
	e := &Error{File: p.file, Message: message, Advice: advice}
	if tok == nil || tok.Position == nil {
		return e
	}
	e.Line, e.Column = tok.Position.Line, tok.Position.Column
	e.Excerpt = excerpt(p.lines, e.Line, e.Column)
	return e
}

// excerpt shows the line with one neighbour on each side and a caret below the column.
func excerpt(lines []string, line, column int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	var b strings.Builder
	for n := max(1, line-1); n <= min(len(lines), line+1); n++ {
		mark := ' '
		if n == line {
			mark = '>'
		}
		fmt.Fprintf(&b, "%c %3d | %s\n", mark, n, mask(lines[n-1]))
		if n == line {
			fmt.Fprintf(&b, "      | %s^\n", strings.Repeat(" ", max(0, column-1)))
		}
	}
	return strings.TrimRight(b.String(), "\n")
}
