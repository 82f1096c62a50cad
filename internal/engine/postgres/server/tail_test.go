package server

import (
	"fmt"
	"strings"
	"testing"
)

func TestTailIsBoundedAndKeepsTheReason(t *testing.T) {
	var lines []string
	l := &tail{line: func(s string) { lines = append(lines, s) }}
	fmt.Fprint(l, "2026-01-01 [1] FAT")
	fmt.Fprint(l, "AL:  could not find redo location\n2026-01-01 [1] HINT:  none\n")
	fmt.Fprint(l, "2026-01-01 [7] FATAL:  the database system is starting up\n")
	for range 1000 {
		fmt.Fprintln(l, strings.Repeat("x", 100))
	}
	if l.reason() != "could not find redo location" {
		t.Errorf("reason %q", l.reason())
	}
	if n := len(l.String()); n > maxTail {
		t.Errorf("%d bytes kept", n)
	}
	if len(lines) != 1003 || lines[0] != "2026-01-01 [1] FATAL:  could not find redo location" {
		t.Errorf("%d lines, the first %q", len(lines), lines[0])
	}
	fmt.Fprint(l, strings.Repeat("y", 10*maxTail))
	if len(l.part) > maxTail {
		t.Errorf("a line without end keeps %d bytes", len(l.part))
	}
}
