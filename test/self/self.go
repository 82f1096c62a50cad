// Package self lets the program of a test be backstay too, in the processes that the test starts: nothing has to be built beside it.
package self

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/backstaydb/backstay/internal/cli"
	"github.com/backstaydb/backstay/internal/process"
)

// asked is the variable that makes it so.
const asked = "BACKSTAY_TEST_RUNS_IT"

// Main runs backstay and ends the process, where Command asked for that. TestMain calls it first.
func Main() {
	if os.Getenv(asked) == "" {
		return
	}
	process.Modest()
	ctx := Context()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Context ends when the process is told to; a second time ends the process.
func Context() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// Command is backstay with arguments, in a folder that is its home too.
func Command(ctx context.Context, folder string, arguments ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), asked+"=1", "HOME="+folder)
	return cmd, nil
}
