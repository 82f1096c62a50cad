package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
)

type voterListOptions struct {
	place
	hosted
	listing
}

func (o *voterListOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.hosted.flags(cmd)
	o.listing.flags(cmd)
}

func (o *voterListOptions) run(ctx context.Context, c *console, _ []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	all, err := app.NewHost(cfg, c.log).Voters(ctx, app.HostName(o.host))
	if err != nil {
		return err
	}
	if o.json {
		return c.json(all)
	}
	rows := [][]string{{"HOST", "ROLE", "ANSWERS", "LACKS", "NOTE"}}
	for _, v := range all {
		answers, behind := "no", "-"
		if v.Answers {
			answers, behind = "yes", fmt.Sprint(v.Behind)
		}
		rows = append(rows, []string{v.Host, v.Role, answers, behind, v.Error})
	}
	return c.columns(rows)
}

// voterChangeOptions are those of voter add, remove and replace.
type voterChangeOptions struct {
	place
	hosted
	listing
	change
	reasoned
	verb string
}

func (o *voterChangeOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.hosted.flags(cmd)
	o.listing.flags(cmd)
	o.change.flags(cmd)
	o.reasoned.flags(cmd)
}

func (o *voterChangeOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	in, out := o.turnover(args)
	h, host := app.NewHost(cfg, c.log), app.HostName(o.host)
	var done api.VoterTurnover
	if o.dryRun {
		done, err = h.ChangeVoters(ctx, host, in, out, true, nil)
	} else {
		deed := app.Deed{What: audit.Voter, Objects: args, Why: strings.TrimSuffix(o.verb+" "+strings.Join(args, " ")+": "+o.reason, ": "), Command: "backstay cluster voter", Tool: version()}
		err = h.Record(ctx, deed, func(ctx context.Context, _ *app.Account) (err error) {
			done, err = h.ChangeVoters(ctx, host, in, out, false, func(step string) { c.sayf("%s\n", step) })
			return err
		})
	}
	if err != nil {
		return err
	}
	if o.json {
		return c.json(done)
	}
	switch {
	case len(done.Steps) == 0:
		c.printf("nothing is to be done\n")
	case o.dryRun:
		c.printf("would:\n  %s\n", strings.Join(done.Steps, "\n  "))
	}
	c.printf("voters: %s\n", list(done.Voters))
	return nil
}

// turnover is who comes and who leaves.
func (o *voterChangeOptions) turnover(args []string) (in, out []string) {
	switch o.verb {
	case "add":
		return args, nil
	case "remove":
		return nil, args
	}
	return args[len(args)-1:], args[:1]
}

type voterRecoverOptions struct {
	place
	listing
	change
	reasoned
	lose bool
}

func (o *voterRecoverOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
	o.change.flags(cmd)
	o.reasoned.flags(cmd)
	cmd.Flags().BoolVar(&o.lose, "lose", false, "go on without members that do not answer, though only they may know what they acknowledged")
}

func (o *voterRecoverOptions) run(ctx context.Context, c *console, _ []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	out, err := app.NewHost(cfg, c.log).RecoverVoter(ctx, api.VoterRecovery{By: person(), Why: o.reason, Lose: o.lose, DryRun: o.dryRun})
	if errors.Is(err, api.ErrNotRunning) {
		return &codedError{err: err, code: exitNotFound, hint: "start it: backstay run; the voter of its host is the one that goes on"}
	}
	if err != nil {
		return err
	}
	if o.json {
		return c.json(out)
	}
	for _, r := range out.Clusters {
		c.printf("%s\n", reinstated(r, o.dryRun))
	}
	if o.dryRun {
		c.printf("would go on with the voter of this host alone\n")
		return nil
	}
	c.printf("the voter of this host goes on alone; what it had before lies in %s\n", orDash(out.Kept))
	c.printf("next: add two more, or nothing fails over when this host is lost: backstay cluster voter add HOST HOST\n")
	return nil
}

func reinstated(r api.ClusterReinstate, dry bool) string {
	if r.Epoch == 0 {
		return r.Cluster + ": never had a primary, and is left as it is"
	}
	verb := "goes on"
	if dry {
		verb = "would go on"
	}
	text := fmt.Sprintf("%s: the voter knew epoch %d; %s with epoch %d, and who has most of the log is primary", r.Cluster, r.Before, verb, r.Epoch)
	if len(r.Absent) > 0 {
		text += "; " + list(r.Absent) + " did not answer"
	}
	return text
}
