package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/config"
)

// completion finds what the shell offers for the arguments of a command.
func (e entry) completion() cobra.CompletionFunc {
	words := strings.Fields(strings.TrimPrefix(e.use, e.path()))
	switch {
	case len(words) > 0 && strings.Trim(words[0], "[]") == "SOURCE":
		return sources
	case len(words) > 0 && words[0] == "REPORT":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	default:
		return cobra.NoFileCompletions
	}
}

// sources offers the names of the file, as the first argument.
func sources(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	file, err := cmd.Flags().GetString("config")
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp // there is nowhere to say it
	}
	return cfg.SourceNames(), cobra.ShellCompDirectiveNoFileComp
}
