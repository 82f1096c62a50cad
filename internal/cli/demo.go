package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/history"
)

type demoOptions struct {
	listing
	change
	dir string
}

func (o *demoOptions) flags(cmd *cobra.Command) {
	o.listing.flags(cmd)
	o.change.flags(cmd)
	cmd.Flags().StringVar(&o.dir, "dir", "", "`DIR` to work in, empty or not there (default: a new folder below the temporary one)")
	_ = cmd.MarkFlagDirname("dir") // It fails only for a flag that does not exist.
}

// demoResult is what `demo` prints.
type demoResult struct {
	Dir            string           `json:"dir" doc:"where all of it lies"`
	Repository     string           `json:"repository" doc:"the repository"`
	Key            string           `json:"key" doc:"the key that reads it"`
	Restored       string           `json:"restored" doc:"the recovered database"`
	Committed      int              `json:"committed_orders" doc:"orders that the shop committed before the mistake"`
	Compared       int              `json:"compared_orders" doc:"restored rows that equal what was committed"`
	Lost           int              `json:"lost_orders" doc:"orders committed before the mistake that were not restored"`
	Mistake        history.Position `json:"mistake" doc:"the transaction that deleted all orders"`
	LagP99         float64          `json:"lag_p99_seconds" doc:"from a commit until it was durable in the repository: 99 of 100 commits took no longer"`
	LagMax         float64          `json:"lag_max_seconds" doc:"the longest of them"`
	RestoreSeconds float64          `json:"restore_seconds" doc:"how long the recovery took"`
	DemoSeconds    float64          `json:"demo_seconds" doc:"how long all of it took"`
}

const (
	demoBefore = 6 * time.Second // orders come in under protection
	demoAfter  = 2 * time.Second // until somebody notices
	demoLimit  = 55 * time.Second
)

func (o *demoOptions) run(ctx context.Context, c *console, _ []string) error {
	if o.dryRun {
		c.printf("would make a shop in a new folder, protect it, delete its orders and its files, recover it and compare\n")
		return nil
	}
	dir, err := demoDir(o.dir)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, demoLimit, errors.New("the demo took longer than it may"))
	defer cancel()
	d := &demo{c: c, o: o, dir: dir, began: time.Now()}
	result, err := d.run(limited)
	if limited.Err() != nil && ctx.Err() == nil {
		err = errors.Join(context.Cause(limited), err)
	}
	if err != nil {
		return &codedError{err: fmt.Errorf("demo in %s: %w", dir, err), code: exitCode(err), hint: hintFor(err, "what it made stays there for a look; backstay.key in that folder reads the repository")}
	}
	if o.json {
		return c.json(result)
	}
	d.tell(result)
	return nil
}

func hintFor(err error, otherwise string) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return otherwise
}

func demoDir(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "backstay-demo-")
		if err != nil {
			return "", fmt.Errorf("make a folder for the demo: %w", err)
		}
		return made, nil
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", &codedError{err: fmt.Errorf("folder %s is not empty", dir), code: exitEnvironment, hint: "name a new folder"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for the demo: %w", err)
	}
	return filepath.Abs(dir)
}

// demo is one demo under way.
type demo struct {
	c     *console
	o     *demoOptions
	dir   string
	began time.Time
	host  *app.Host
	watch watch
}

// step tells what is going on.
func (d *demo) step(format string, args ...any) {
	d.c.sayf("%5.1f s  %s", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// run goes: open the shop, protect it, let orders come in, make the mistake, lose the files, recover, compare.
func (d *demo) run(ctx context.Context) (demoResult, error) {
	d.step("a shop opens in %s; orders come in and never stop", d.dir)
	shop, err := startShop(ctx, d.dir, d.c.err)
	if err != nil {
		return demoResult{}, err
	}
	mistake, err := d.suffer(ctx, shop)
	if stopped := shop.stop(); err == nil && stopped != nil {
		err = fmt.Errorf("stop the shop: %w", stopped)
	}
	if err != nil {
		return demoResult{}, err
	}
	for _, name := range []string{"shop.db", "shop.db-wal", "shop.db-shm"} {
		if err := os.RemoveAll(filepath.Join(d.dir, name)); err != nil {
			return demoResult{}, fmt.Errorf("delete the shop: %w", err)
		}
	}
	d.step("and then the database files were deleted: shop.db, shop.db-wal, shop.db-shm")
	return d.recover(ctx, shop.ledger(), mistake)
}

// suffer protects the shop and lets the mistake happen; all of it is durable when it returns.
func (d *demo) suffer(ctx context.Context, shop *shopProcess) (shopEvent, error) {
	if err := shop.until(ctx, func(e []shopEvent) bool { return len(e) >= 100 }); err != nil {
		return shopEvent{}, err
	}
	plan, err := app.PlanProtect(ctx, app.ProtectOptions{Config: filepath.Join(d.dir, "backstay.yaml"), URL: "sqlite:./shop.db"}, d.c.quiet())
	if err != nil {
		return shopEvent{}, err
	}
	if d.host, err = plan.Apply(ctx, d.c.quiet()); err != nil {
		return shopEvent{}, err
	}
	d.step("backstay protect sqlite:./shop.db")
	daemon, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- d.host.Run(daemon, app.RunOptions{Version: version(), Exit: exitCode, Every: 50 * time.Millisecond, Observe: d.watch.observe})
	}()
	mistake, err := d.live(ctx, shop, done)
	stop()
	if ended := <-done; err == nil && !errors.Is(ended, context.Canceled) {
		err = ended
	}
	return mistake, err
}

// live is the shop's life under protection, and the mistake.
func (d *demo) live(ctx context.Context, shop *shopProcess, daemon chan error) (shopEvent, error) {
	if err := d.durable(ctx, time.Now(), daemon); err != nil {
		return shopEvent{}, err
	}
	d.step("the first base backup is taken, and the log is followed")
	if err := d.show(ctx, shop, demoBefore, daemon); err != nil {
		return shopEvent{}, err
	}
	mistake, err := shop.mistake(ctx)
	if err != nil {
		return mistake, err
	}
	d.step("somebody runs: DELETE FROM orders;   %d orders are gone, and new ones keep coming in", mistake.Commit-1)
	if err := d.show(ctx, shop, demoAfter, daemon); err != nil {
		return mistake, err
	}
	return mistake, d.durable(ctx, mistake.Committed, daemon)
}

// durable waits until everything up to a moment is in the repository.
func (d *demo) durable(ctx context.Context, moment time.Time, daemon chan error) error {
	for !d.watch.durable(moment) {
		if err := pause(ctx, 20*time.Millisecond, daemon); err != nil {
			return err
		}
	}
	return nil
}

// show lets time pass and tells how it goes.
func (d *demo) show(ctx context.Context, shop *shopProcess, long time.Duration, daemon chan error) error {
	for end := time.Now().Add(long); time.Now().Before(end); {
		if d.c.tty {
			d.c.draw(fmt.Sprintf("         %d orders committed; %s", len(shop.ledger()), d.watch.text()))
		}
		if err := pause(ctx, 100*time.Millisecond, daemon); err != nil {
			return err
		}
	}
	if d.c.tty {
		d.c.draw("")
	}
	d.step("%d orders committed; %s", len(shop.ledger()), d.watch.text())
	return nil
}

// pause waits a little, and fails if the daemon does.
func pause(ctx context.Context, wait time.Duration, daemon chan error) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-daemon:
		daemon <- err // for whoever waits for its end
		if err == nil {
			err = errors.New("the daemon ended by itself")
		}
		return err
	case <-time.After(wait):
		return nil
	}
}

// recover restores twice: to a time before the mistake, which also shows where its transaction lies, and to just
// before that transaction.
func (d *demo) recover(ctx context.Context, ledger []shopEvent, mistake shopEvent) (demoResult, error) {
	early := mistake.Began.Add(-2 * time.Second)
	d.step("backstay restore shop --to %q --into ./earlier", early.Format("15:04:05.000"))
	first, err := d.restore(ctx, history.Target{Kind: history.AtTime, Time: early}, "earlier")
	if err != nil {
		return demoResult{}, err
	}
	orders, err := readShop(ctx, filepath.Join(d.dir, "earlier"))
	if err != nil {
		return demoResult{}, err
	}
	// A commit is stamped within 50 ms after it was made.
	in := func(e shopEvent) bool { return e.Committed.Before(early.Add(-50 * time.Millisecond)) }
	n, err := compare(orders, ledger, in, func(e shopEvent) bool { return e.Began.Before(early) })
	if err != nil {
		return demoResult{}, mismatch(err)
	}
	d.step("stands at transaction %d with %d orders, as the shop was 2 s before; the mistake is %d transactions later", first.Position.Seq, n, mistake.Commit-int64(n))
	position := history.At(first.Position.Timeline, first.Position.Seq+uint64(mistake.Commit-int64(n)))
	return d.exact(ctx, ledger, mistake, position)
}

// exact recovers to just before the mistake and compares all rows.
func (d *demo) exact(ctx context.Context, ledger []shopEvent, mistake shopEvent, at history.Position) (demoResult, error) {
	result := demoResult{Dir: d.dir, Repository: filepath.Join(d.dir, "repo"), Key: filepath.Join(d.dir, "backstay.key"), Restored: filepath.Join(d.dir, "restored", "shop.db"), Committed: int(mistake.Commit) - 1, Mistake: at}
	result.LagP99, result.LagMax = d.watch.lag()
	d.step("backstay restore shop --to before-txid:%d --into ./restored", at.Seq)
	restored, err := d.restore(ctx, history.Target{Kind: history.Custom, Key: "txid", Value: fmt.Sprint(at.Seq), Before: true}, "restored")
	if err != nil {
		return result, err
	}
	orders, err := readShop(ctx, filepath.Join(d.dir, "restored"))
	if err != nil {
		return result, err
	}
	before := func(e shopEvent) bool { return e.Commit < mistake.Commit }
	if result.Compared, err = compare(orders, ledger, before, before); err != nil {
		return result, mismatch(err)
	}
	result.Lost = result.Committed - result.Compared
	result.RestoreSeconds, result.DemoSeconds = restored.RestoreSeconds, time.Since(d.began).Seconds()
	d.step("compared %d rows with what the shop had committed", result.Compared)
	return result, nil
}

func (d *demo) restore(ctx context.Context, t history.Target, into string) (*api.Restored, error) {
	reached, err := d.host.Open(ctx, app.Reach{Source: "shop"})
	if err != nil {
		return nil, err
	}
	plan, err := reached.PlanRestore(ctx, t)
	if err != nil {
		return nil, err
	}
	return d.c.restore(ctx, plan, filepath.Join(d.dir, into))
}

func mismatch(err error) error {
	return &codedError{err: err, code: exitDamage, hint: "this must not happen; please report it with the folder"}
}

// tell closes the demo in plain words.
func (d *demo) tell(r demoResult) {
	c := d.c
	c.printf("\nWhat was lost: nothing. All %d orders committed before the mistake are back, row by row as they were.\n", r.Committed)
	c.printf("  recovery took      %s\n", span(seconds(r.RestoreSeconds)))
	c.printf("  lag                %s from a commit until it was durable in the repository (99 of 100; the slowest took %s)\n", span(seconds(r.LagP99)), span(seconds(r.LagMax)))
	c.printf("  recovered database %s\n", r.Restored)
	c.printf("  repository         %s\n", r.Repository)
	c.printf("  key                %s\n", r.Key)
	c.printf("\nNow your own: backstay protect sqlite:./app.db\n")
}
