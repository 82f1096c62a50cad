package cli

import (
	"context"
	"fmt"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/repository"
)

type keyShowOptions struct {
	reach
	listing
}

func (o *keyShowOptions) flags(cmd *cobra.Command) {
	o.reach.flags(cmd)
	o.keyFlag(cmd)
	o.listing.flags(cmd)
}

func (o *keyShowOptions) run(ctx context.Context, c *console, args []string) error {
	reached, err := o.open(ctx, c, args, nil)
	if err != nil {
		return err
	}
	defer reached.Close() // it was only read
	all := []api.Keys{}
	for _, r := range reached.Repositories {
		keys, err := r.Keys(ctx)
		if err != nil {
			return err
		}
		all = append(all, keys)
	}
	if o.json {
		return c.json(all)
	}
	for _, k := range all {
		c.printf("%s in %s: key object %d of %s, sealed to %s\n", k.Source, k.Repository, k.Number, clock(k.Created), k.Recipient)
		for _, r := range k.Readers {
			c.printf("  can read  %s  %s\n", r.Name, r.Recipient)
		}
		for _, s := range k.Signers {
			c.printf("  may sign  %s\n", s)
		}
		for _, w := range k.Withdrawn {
			c.printf("  withdrawn %s  %s  %s\n", w.Name, clock(w.Since), stillOpens(w))
		}
		if !k.Authenticated {
			c.printf("  This list is believed, not proved: neither a key that can read nor a pinned signer is at hand.\n")
		}
	}
	return nil
}

// stillOpens says what the owner of a withdrawn key can open, if it was kept.
func stillOpens(w api.Withdrawn) string {
	if w.Objects == 0 {
		return "opens what comes, until key rotate"
	}
	text := fmt.Sprintf("still opens %s, %s stored, of the time up to %s, until retention drops them or key rotate --rewrite seals them anew",
		plural(w.Objects, "object", "objects"), size(w.Bytes), clock(w.Newest))
	if !w.Rotated {
		text += "; and what comes, until key rotate"
	}
	return text
}

// keyChange is what key add, remove and rotate have in common.
type keyChange struct {
	place
	change
	reasoned
	key string
}

func (o *keyChange) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.change.flags(cmd)
	o.reasoned.flags(cmd)
	cmd.Flags().StringVar(&o.key, "key", "", "`FILE` with the key that can read (default backstay.key, if it is there)")
	_ = cmd.MarkFlagFilename("key") // It fails only for a flag that does not exist.
}

// apply makes a change in all repositories of a source.
func (o *keyChange) apply(ctx context.Context, c *console, source, what string, change func(*repository.Repository) error) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := pick(cfg, []string{source})
	if err != nil {
		return err
	}
	if o.dryRun {
		c.printf("would %s in %s\n", what, list(cfg.Sources[name].Repositories))
		return nil
	}
	host := app.NewHost(cfg, c.log)
	deed := app.Deed{What: audit.Key, Source: name, Why: o.reason, Command: "backstay key", Tool: version(), Objects: []string{what}, Needed: true}
	if err := host.Record(ctx, deed, func(ctx context.Context, _ *app.Account) error { return host.ChangeKeys(ctx, name, o.key, change) }); err != nil {
		return err
	}
	c.printf("done: %s in %s\n", what, list(cfg.Sources[name].Repositories))
	return nil
}

type keyAddOptions struct{ keyChange }

func (o *keyAddOptions) run(ctx context.Context, c *console, args []string) error {
	reader := repository.Reader{Name: args[1], Recipient: args[2]}
	if _, err := age.ParseX25519Recipient(reader.Recipient); err != nil {
		return &usageError{err: fmt.Errorf("RECIPIENT of %s is not an age recipient", reader.Name), hint: "it begins with age1; age-keygen -y FILE prints it"}
	}
	return o.apply(ctx, c, args[0], "let "+reader.Name+" ("+reader.Recipient+") read", func(r *repository.Repository) error { return r.AddReader(ctx, reader) })
}

type keyRemoveOptions struct{ keyChange }

func (o *keyRemoveOptions) run(ctx context.Context, c *console, args []string) error {
	return o.apply(ctx, c, args[0], "take "+args[1]+" off the readers", func(r *repository.Repository) error { return r.RemoveReader(ctx, args[1]) })
}

type keyRotateOptions struct {
	keyChange
	rewrite bool
}

func (o *keyRotateOptions) flags(cmd *cobra.Command) {
	o.keyChange.flags(cmd)
	cmd.Flags().BoolVar(&o.rewrite, "rewrite", false, "seal all that is there anew, too, prove it, and drop what older identities open; run it again if it broke off")
}

func (o *keyRotateOptions) run(ctx context.Context, c *console, args []string) error {
	if !o.rewrite {
		return o.apply(ctx, c, args[0], "seal what comes to a new identity", func(r *repository.Repository) error { return r.Rotate(ctx) })
	}
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := pick(cfg, args)
	if err != nil {
		return err
	}
	if o.dryRun {
		c.printf("would seal all of %s anew in %s, compare it, and drop what older identities open\n", name, list(cfg.Sources[name].Repositories))
		return nil
	}
	done, err := app.NewHost(cfg, c.log).Rewrite(ctx, name, o.key, version(), nil)
	for _, r := range done {
		c.printf("%s: %s sealed anew and compared, %s stored; the old are dropped\n", r.Repository, plural(len(r.Dropped), "object", "objects"), size(r.Bytes))
		for _, left := range r.Left {
			c.printf("  left  %s: %s\n", left.Name, left.Why)
		}
	}
	return err
}
