// Package cli is the command line: one table of commands, one file for each command with its options, one table of
// exit codes. It parses, calls app and prints; it decides nothing.
//
// Results go to the standard output, progress, logs and errors to the standard error. Errors end with lines that
// begin with "hint:" where something can be done. No command ever waits for an answer. Every listing takes --json,
// every change takes --dry-run.
package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Main runs one command line and returns the exit code.
func Main(ctx context.Context, args []string, out, errs io.Writer) int {
	c := newConsole(out, errs)
	root := newRoot(c)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	c.fail(err)
	return exitCode(err)
}

// newRoot builds the commands of the table.
func newRoot(c *console) *cobra.Command {
	cobra.EnableCommandSorting = false // The table has an order that means something.
	root := &cobra.Command{
		Use:           "backstay",
		Short:         "Keeps databases recoverable, and proves it",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err: err, hint: fmt.Sprintf("see %s --help", cmd.CommandPath())}
	})
	root.SetVersionTemplate("backstay {{.Version}}\n")
	root.SetHelpCommand(&cobra.Command{Use: "help [command]", Short: "Show the help of a command", RunE: showHelp})
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
	}
	root.SetCompletionCommandGroupID(groupInfo)
	root.SetHelpCommandGroupID(groupInfo)
	parents := map[string]*cobra.Command{"": root}
	for _, e := range table() {
		cmd := e.build(c)
		parents[e.parent()].AddCommand(cmd)
		parents[e.path()] = cmd
	}
	root.InitDefaultCompletionCmd()
	return root
}

const rootLong = `Backstay follows a database while the application writes it, keeps base backups and the log sealed in one or more
repositories, recovers any moment of the recovery window, and proves by drills that it can.

Begin with "backstay demo", which needs nothing, or with "backstay protect sqlite:./app.db" in the folder of your application.`

// noCommand is what backstay alone takes; anything else is a command that does not exist.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	e := &usageError{err: fmt.Errorf("unknown command %q", args[0]), hint: "see backstay --help"}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		e.hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return e
}

func showHelp(cmd *cobra.Command, args []string) error {
	found, _, err := cmd.Root().Find(args)
	if err != nil {
		return noCommand(cmd.Root(), args)
	}
	return found.Help()
}
