package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/config"
)

// listing is embedded by commands that show something.
type listing struct{ json bool }

func (l *listing) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&l.json, "json", false, "print JSON; docs/reference/json.md describes the fields")
}

// change is embedded by commands that change something.
type change struct{ dryRun bool }

func (d *change) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&d.dryRun, "dry-run", false, "say what would be done, and do nothing")
}

// reasoned is embedded by commands that a person decides on.
type reasoned struct{ reason string }

func (r *reasoned) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.reason, "reason", "", "why, in a `TEXT` for the audit log")
}

// place is embedded by commands that work with a backstay.yaml.
type place struct{ config string }

func (p *place) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.config, "config", config.Name, "the `FILE` to work with; state lies in .backstay beside it")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // It fails only for a flag that does not exist.
}

// load reads the file that must be there.
func (p *place) load() (*config.Config, error) {
	cfg, err := config.Load(p.config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &notFoundError{
			err:  fmt.Errorf("there is no %s", p.config),
			hint: `"backstay protect URL" makes one; commands look in the current folder unless --config says where`,
		}
	}
	return cfg, err
}

// pick chooses the source that args names, or the only one.
func pick(cfg *config.Config, args []string) (string, error) {
	names := cfg.SourceNames()
	if len(args) > 0 {
		if _, ok := cfg.Sources[args[0]]; ok {
			return args[0], nil
		}
		return "", &notFoundError{err: fmt.Errorf("no source %q in %s", args[0], config.Name), hint: "sources: " + list(names)}
	}
	if len(names) == 1 {
		return names[0], nil
	}
	return "", &usageError{err: errors.New("which source?"), hint: "name one of: " + list(names)}
}
