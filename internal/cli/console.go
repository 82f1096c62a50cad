package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/backstaydb/backstay/internal/trace"
)

// console is where a command prints.
type console struct {
	out   io.Writer // results
	err   io.Writer // progress, logs, errors; safe for concurrent use
	tty   bool      // err is a terminal: progress may be drawn
	color bool
	width int // of the terminal
	log   *slog.Logger
	now   func() time.Time
}

func newConsole(out, errs io.Writer) *console {
	c := &console{out: out, err: &lockedWriter{w: errs}, width: 80, now: time.Now}
	if f, ok := errs.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		c.tty = true
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			c.width = w
		}
	}
	c.color = c.tty && os.Getenv("NO_COLOR") == ""
	c.log = slog.New(trace.Handler(&lineHandler{w: c.err, level: slog.LevelInfo}))
	return c
}

// printf writes to the results.
func (c *console) printf(format string, args ...any) { fmt.Fprintf(c.out, format, args...) }

// sayf writes one line beside the results.
func (c *console) sayf(format string, args ...any) {
	fmt.Fprintf(c.err, format+"\n", args...)
}

// json prints v as the only thing on the standard output.
func (c *console) json(v any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// columns prints aligned columns; the first row is the heading.
func (c *console) columns(rows [][]string) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t "))
	}
	return w.Flush()
}

// fail prints an error and what can be done about it.
func (c *console) fail(err error) {
	fmt.Fprintf(c.err, "%s %s\n", c.paint("31", "error:"), err)
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintf(c.err, "%s %s\n", c.paint("36", "hint:"), hinted.Hint())
	}
}

// paint colours text where colours are wanted.
func (c *console) paint(code, text string) string {
	if !c.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// lockedWriter lets goroutines write whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// quiet is a log that nobody sees, for looks that are not worth a line.
func (c *console) quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
