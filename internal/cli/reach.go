package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/config"
)

// reach is embedded by commands that read repositories: those of backstay.yaml, or one in a store.
type reach struct {
	place
	store string
	repo  string
	key   string
}

func (r *reach) flags(cmd *cobra.Command) {
	r.place.flags(cmd)
	cmd.Flags().StringVar(&r.store, "store", "", "`URL` of the store to read from, instead of what backstay.yaml names")
	cmd.Flags().StringVar(&r.repo, "repository", "", "`NAME` of the one repository to read, of those of the source")
}

// keyFlag adds --key, for commands that need one.
func (r *reach) keyFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.key, "key", "", "`FILE` with the key that can read (default backstay.key, if it is there)")
	_ = cmd.MarkFlagFilename("key") // It fails only for a flag that does not exist.
}

// open opens what the flags and args say, and warns of repositories that do not answer beside ones that do. what, if it
// is not nil, says how it is read. The caller closes what it gets.
func (r *reach) open(ctx context.Context, c *console, args []string, what func(*app.Reach)) (*app.Reached, error) {
	host, to, err := r.resolve(c, args)
	if err != nil {
		return nil, err
	}
	if what != nil {
		what(&to)
	}
	reached, err := host.Open(ctx, to)
	if err != nil {
		return nil, err
	}
	for _, f := range reached.Failures {
		c.sayf("%s repository %s (%s) does not answer: %v", c.paint("33", "warning:"), f.Name, f.Store, f.Err)
	}
	return reached, nil
}

// resolve finds the host, if a backstay.yaml is needed, and what to reach.
func (r *reach) resolve(c *console, args []string) (*app.Host, app.Reach, error) {
	what := app.Reach{Store: r.store, Repository: r.repo, Key: r.key}
	if r.store != "" {
		if len(args) > 0 {
			what.Source = args[0]
		}
		if what.Key == "" {
			if _, err := os.Stat("backstay.key"); err == nil {
				what.Key = "backstay.key"
			}
		}
		return app.NewHost(&config.Config{}, c.log), what, nil
	}
	cfg, err := r.load()
	if missing, ok := errors.AsType[*notFoundError](err); ok {
		missing.hint = `"backstay protect URL" makes one, and --config says where it is; on a machine without it name the store, as in --store ./repo`
	}
	if err != nil {
		return nil, what, err
	}
	what.Source, err = pick(cfg, args)
	return app.NewHost(cfg, c.log), what, err
}
