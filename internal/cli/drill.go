package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/recovery"
)

type drillOptions struct {
	reach
	listing
	change
	to      string
	scratch string
}

func (o *drillOptions) flags(cmd *cobra.Command) {
	o.reach.flags(cmd)
	o.keyFlag(cmd)
	o.listing.flags(cmd)
	o.change.flags(cmd)
	cmd.Flags().StringVar(&o.to, "to", "latest", "the `TARGET` to restore to, random, or fingerprint (the newest moment of which a digest was taken at the source)")
	cmd.Flags().StringVar(&o.scratch, "scratch", "", "`DIR` for the throwaway restore (default in .backstay; for servers drilled by root /var/lib/backstay/drill)")
}

func (o *drillOptions) run(ctx context.Context, c *console, args []string) error {
	work := app.DrillOptions{Tool: version(), Scratch: o.scratch, Pick: drill.Pick(o.to)}
	if !slices.Contains([]drill.Pick{drill.Latest, drill.Random, drill.Fingerprinted}, work.Pick) {
		var err error
		work.Pick = drill.Given
		if work.Target, err = parseTarget(o.to, c.now()); err != nil {
			return err
		}
	}
	reached, err := o.open(ctx, c, args, func(r *app.Reach) { r.Spool = work.Pick != drill.Random })
	if err != nil {
		return err
	}
	defer reached.Close() // it was only read
	if o.dryRun {
		c.printf("would restore %s to %s from %s into a scratch folder, start it, check it, and sign a report\n", reached.Source, o.to, reached.Repositories[0].Name)
		return nil
	}
	bar := c.progress("drill " + reached.Source)
	work.Progress = func(_ recovery.Step, done, total int64) { bar.update(done, total) }
	if reached.Bare() {
		c.sayf("this drill is not written into an audit log: it goes without a backstay.yaml")
	}
	var report drill.Report
	var path string
	err = reached.Record(ctx, app.Deed{What: audit.Drill, Command: "backstay drill", Tool: version(), Objects: []string{"to " + o.to}}, func(ctx context.Context, a *app.Account) error {
		var err error
		if report, path, err = reached.Drill(ctx, work); err != nil {
			return err
		}
		a.Drilled(ctx, report)
		return verdictError(report)
	})
	bar.end()
	if path == "" && report.Verdict == "" {
		return err
	}
	if o.json {
		return errors.Join(c.json(report), err)
	}
	c.drillReport(report, path)
	return err
}

func (c *console) drillReport(r drill.Report, path string) {
	target := r.Asked
	if target == string(drill.Random) || target == string(drill.Fingerprinted) || target == "" {
		target = r.Target
	}
	c.printf("%s: %s to %s, from %s\n", r.Verdict, r.Source, target, r.Repository)
	if r.Reason != "" {
		c.printf("  %s\n", r.Reason)
	}
	if r.Lost != "" {
		c.printf("  %s\n", r.Lost)
	}
	c.printf("  stands at %s; base %s, %s\n", r.Reached.Position.Plain(), r.Base, count(r.Segments, "segment"))
	if at, word := r.Second(); !at.IsZero() {
		c.printf("  recovered the second of %s, %s\n", clock(at), word)
	}
	if r.Local != nil {
		c.printf("  %s\n", r.Local)
	}
	if with := r.Compared; with != nil && with.Why != "" {
		c.printf("  not compared with the fingerprint of %s: %s\n", clock(with.Taken), with.Why)
	}
	for _, check := range r.Checks {
		c.printf("  %-8s %s: %s\n", passed(check), check.Name, check.Detail)
		if !check.OK && check.Output != "" {
			c.printf("             %s\n", strings.ReplaceAll(check.Output, "\n", "\n             "))
		}
	}
	c.printf("  fetch %s, lay %s, replay %s, start %s, verify %s, in all %s\n", span(seconds(r.FetchSeconds)), span(seconds(r.LaySeconds)), span(seconds(r.ReplaySeconds)), span(seconds(r.StartSeconds)), span(seconds(r.VerifySeconds)), span(seconds(r.DrillSeconds)))
	if path != "" {
		c.printf("  signed report: %s\n", path)
	}
}

func passed(c drill.Check) string {
	switch {
	case c.OK:
		return "passed"
	case c.Unasked != "":
		return "unasked"
	}
	return "FAILED"
}

// verdictError gives a drill that proved nothing its exit code.
func verdictError(r drill.Report) error {
	switch r.Verdict {
	case drill.Proved:
		return nil
	case drill.BackupBad:
		return &codedError{err: fmt.Errorf("the backup of %s did not prove itself: %s", r.Source, r.Reason), code: exitDamage, hint: fmt.Sprintf("run backstay check %s --deep to see which objects are affected", r.Source)}
	case drill.DataDiffers:
		return &codedError{err: fmt.Errorf("what was recovered of %s is not what the source had there: %s", r.Source, r.Reason), code: exitDiffers, hint: fmt.Sprintf("keep the repository as it is; drill the same moment again, run backstay check %s --deep, and take a new base", r.Source)}
	case drill.CheckFailed:
		return &codedError{err: fmt.Errorf("a check of the owner of %s failed: %s", r.Source, r.Reason), code: exitCheck, hint: "put the same question to the source: if it answers alike, the expectation in backstay.yaml is wrong; else drill an earlier moment with --to"}
	}
	return &codedError{err: fmt.Errorf("the drill of %s could not be carried out here: %s", r.Source, r.Reason), code: exitEnvironment, hint: "this says nothing about the backup; make room or right what is named, and drill again"}
}

type verifyOptions struct {
	place
	listing
	signers []string
}

func (o *verifyOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
	cmd.Flags().StringArrayVar(&o.signers, "signer", nil, "verifier `KEY` that it must be signed with (default: this host's); key show lists them")
}

// verifiedReport is what `drill verify --json` prints.
type verifiedReport struct {
	Signer string       `json:"signer" doc:"name of the key that signed it"`
	Report drill.Report `json:"report" doc:"what it says"`
}

func (o *verifyOptions) run(_ context.Context, c *console, args []string) error {
	signed, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("read report: %w", err)
	}
	host := app.NewHost(&config.Config{}, c.log)
	if len(o.signers) == 0 {
		cfg, err := o.load()
		if err != nil {
			return err
		}
		host = app.NewHost(cfg, c.log)
	}
	report, signer, err := app.VerifyReport(signed, o.signers, host)
	if altered, ok := errors.AsType[*drill.PageError](err); ok {
		return &codedError{err: altered, code: exitDamage, hint: "save the report.txt that the page links to, and verify that"}
	}
	if err != nil {
		return &codedError{err: err, code: exitDamage, hint: "name the key it must be signed with by --signer; backstay key show lists the keys of a source"}
	}
	if o.json {
		return c.json(verifiedReport{Signer: signer, Report: report})
	}
	c.printf("signed by %s\n", signer)
	c.drillReport(report, "")
	return nil
}
