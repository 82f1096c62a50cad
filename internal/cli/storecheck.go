package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/store/storetest"
)

type storeCheckOptions struct {
	listing
	change
}

func (o *storeCheckOptions) flags(cmd *cobra.Command) {
	o.listing.flags(cmd)
	o.change.flags(cmd)
}

// storeStep is one clause of the contract and how the store kept it.
type storeStep struct {
	Name    string  `json:"name" doc:"of the clause"`
	OK      bool    `json:"ok" doc:"whether it was kept, or is not claimed"`
	Claimed bool    `json:"claimed" doc:"whether this store says that it can do this; some abilities are extras"`
	Error   string  `json:"error,omitempty" doc:"how it was broken"`
	Seconds float64 `json:"seconds" doc:"how long the step took"`
}

// storeReport is what `store check` prints.
type storeReport struct {
	Store             string      `json:"store" doc:"that was checked"`
	ConditionalCreate bool        `json:"conditional_create" doc:"whether several hosts may write at once"`
	Steps             []storeStep `json:"steps" doc:"in the order they ran"`
}

func (o *storeCheckOptions) run(ctx context.Context, c *console, args []string) error {
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the current folder: %w", err)
	}
	if o.dryRun {
		for _, s := range storetest.Steps() {
			c.printf("would check: %s\n", s.Name)
		}
		return nil
	}
	s, err := app.OpenStore(ctx, args[0], dir)
	if err != nil {
		return err
	}
	report := storeReport{Store: s.String(), ConditionalCreate: s.Properties().ConditionalCreate}
	broken := 0
	err = storetest.Each(ctx, s, func(r storetest.Result) {
		step := stepOf(r)
		if !step.OK {
			broken++
		}
		report.Steps = append(report.Steps, step)
		if !o.json {
			c.printf("%s\n", strings.TrimRight(fmt.Sprintf("%-11s  %-60s  %s", step.verdict(), step.Name, step.Error), " "))
		}
	})
	if o.json {
		if err := c.json(report); err != nil {
			return err
		}
	}
	if broken > 0 {
		return &codedError{
			err: fmt.Errorf("store %s breaks %s of its contract", s, count(broken, "clause")), code: exitStore,
			hint: "do not keep a repository here until the provider explains it; lines that say BROKEN tell what it did",
		}
	}
	return err
}

func stepOf(r storetest.Result) storeStep {
	step := storeStep{Name: r.Step.Name, OK: true, Claimed: true, Seconds: r.Took.Round(time.Microsecond).Seconds()}
	switch {
	case errors.Is(r.Err, storetest.ErrNotClaimed):
		step.Claimed = false
	case r.Err != nil:
		step.OK, step.Error = false, r.Err.Error()
	}
	return step
}

func (s storeStep) verdict() string {
	switch {
	case !s.OK:
		return "BROKEN"
	case !s.Claimed:
		return "not claimed"
	}
	return "ok"
}
