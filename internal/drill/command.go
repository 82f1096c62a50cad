package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/process"
)

// Exit codes by which a command says that it could not ask: a shell found no program or could not run it, and EX_TEMPFAIL of
// sysexits.h.
var unaskedCodes = map[int]string{126: "a program that it needs cannot be run", 127: "a program that it needs is not there", 75: "it says that it could not ask now"}

// grace is between telling a command whose time is over to end, and killing it.
const grace = 3 * time.Second

// command runs a command with all that it starts, and judges its exit code. An error is the environment's.
func (d *drill) command(ctx context.Context, server engine.Asker, scratch string, q Question, c *Check) error {
	dsn, err := server.Reach(ctx, q.Database)
	if err != nil {
		return err
	}
	work := filepath.Join(scratch, workDir)
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	out := &tail{}
	env := []string{"BACKSTAY_DSN=" + dsn, "BACKSTAY_SOURCE=" + d.report.Source, "BACKSTAY_TARGET=" + d.report.Target, mark(work), "TMPDIR=" + work}
	err = process.Group{
		Dir: d.config.Dir, Command: located(q.Command, d.config.Dir), Env: append(env, handed()...), Mark: mark(work), Grace: grace, Output: out,
	}.Run(ctx)
	c.Output = masked(out.String())
	return judgeExit(err, c)
}

// workDir is the folder in a scratch folder that commands write to.
const workDir = "work"

// mark is the variable that names the folder for what a command writes. No other process has it.
func mark(work string) string { return "BACKSTAY_SCRATCH=" + work }

// judgeExit reads how a command ended.
func judgeExit(err error, c *Check) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		c.OK, c.Detail = true, "ended with 0"
		return nil
	case !ok:
		return err
	case unaskedCodes[exit.ExitCode()] != "":
		return fmt.Errorf("it ended with %d: %s", exit.ExitCode(), unaskedCodes[exit.ExitCode()])
	case killed(exit):
		return fmt.Errorf("somebody ended it (%s)", exit)
	}
	c.Got = exit.String()
	c.Detail = exit.String() + ", want 0"
	if last := lastLine(c.Output); last != "" {
		c.Detail += ": " + last
	}
	return nil
}

// located makes a program that is named by a path absolute: where a relative one begins differs from system to system.
func located(command []string, dir string) []string {
	if len(command) == 0 || filepath.IsAbs(command[0]) || filepath.Base(command[0]) == command[0] {
		return command
	}
	return append([]string{filepath.Join(dir, command[0])}, command[1:]...)
}

// variables that a command gets from us. What else is in our environment may be a secret, and what a command prints is kept.
var variables = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "SystemRoot", "SYSTEMROOT", "TEMP", "TMP", "PATHEXT", "COMSPEC", "USERPROFILE"}

func handed() []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(variables, name) || strings.HasPrefix(name, "LC_") {
			env = append(env, entry)
		}
	}
	return env
}
