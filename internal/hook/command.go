package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/secret"
)

// Bounds of a program: for how long it may go on after it was asked to end, and how much of its words is kept.
const (
	grace    = 5 * time.Second
	maxWords = 4 << 10
	maxShown = 300
)

// run runs the program of a hook.
func (h Hook) run(ctx context.Context, e Event) error {
	told, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("tell it what it is about: %w", err)
	}
	words := &tail{}
	c := exec.CommandContext(ctx, h.Command[0], h.Command[1:]...)
	c.Dir, c.Stdin, c.Stderr = h.Dir, bytes.NewReader(told), words
	c.Env = append(os.Environ(), "BACKSTAY_MOMENT="+e.Moment, "BACKSTAY_WORK="+e.Work, "BACKSTAY_SOURCE="+e.Source, "BACKSTAY_JOB="+e.Job,
		"BACKSTAY_OUTCOME="+e.Outcome, "BACKSTAY_ERROR="+e.Error)
	c.WaitDelay = grace
	end := grouped(c)
	defer end()
	if err := c.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		var p *os.PathError
		var code *exec.ExitError
		switch {
		case errors.As(err, &p):
			err = p.Err
		case errors.As(err, &code):
			err = errors.New(code.String()) // its exit code is not ours
		}
		if said := words.last(); said != "" {
			return fmt.Errorf("%w: it says %q", err, said)
		}
		return err
	}
	return ctx.Err()
}

// tail keeps the end of what is written.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-maxWords):]
	return len(p), nil
}

// last is the last line, in short and without what looks like a secret.
func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(secret.Mask(strings.ToValidUTF8(string(t.b), "?"))), "\n")
	line := []rune(strings.TrimSpace(lines[len(lines)-1]))
	return string(line[:min(len(line), maxShown)])
}
