package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// command is one command's options and what it does with them.
type command interface {
	flags(cmd *cobra.Command)
	run(ctx context.Context, c *console, args []string) error
}

// entry is one line of the command table; help, completion, man pages and docs/reference come from it.
type entry struct {
	use     string // the path below backstay and the arguments: "key add NAME"
	group   string
	short   string
	long    string
	example string
	args    arity
	hidden  bool
	lists   bool           // takes --json
	changes bool           // takes --dry-run
	make    func() command // nil for a command that only holds others
}

// arity is how many arguments a command takes; most is -1 for any number.
type arity struct{ least, most int }

// words are the leading lower-case words of use: the path of the command.
func (e entry) words() []string {
	var path []string
	for _, w := range strings.Fields(e.use) {
		if w[0] < 'a' || w[0] > 'z' {
			break
		}
		path = append(path, w)
	}
	return path
}

func (e entry) path() string { return strings.Join(e.words(), " ") }

func (e entry) parent() string {
	w := e.words()
	return strings.Join(w[:len(w)-1], " ")
}

func (e entry) build(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:                   strings.TrimPrefix(e.use, e.parent()+" "),
		Short:                 e.short,
		Long:                  strings.TrimSpace(e.short + ".\n\n" + e.long),
		Example:               indent(e.example),
		Hidden:                e.hidden,
		Args:                  e.args.check,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     e.completion(),
	}
	if e.parent() == "" && !e.hidden {
		cmd.GroupID = e.group
	}
	if e.make == nil {
		cmd.Args = noCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		return cmd
	}
	options := e.make()
	options.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if _, ok := options.(reloader); !ok {
			var stop context.CancelFunc
			ctx, stop = endWithTerminal(ctx)
			defer stop()
		}
		err := options.run(ctx, c, args)
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	return cmd
}

func (a arity) check(cmd *cobra.Command, args []string) error {
	hint := "usage: " + cmd.UseLine()
	switch {
	case len(args) < a.least:
		return &usageError{err: fmt.Errorf("%s needs %s", cmd.CommandPath(), count(a.least, "argument")), hint: hint}
	case a.most >= 0 && len(args) > a.most:
		return &usageError{err: fmt.Errorf("%s takes %s at most, and %q is one more", cmd.CommandPath(), count(a.most, "argument"), args[a.most]), hint: hint}
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func indent(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return "  " + strings.Join(lines, "\n  ")
}
