package sim

import (
	"errors"
	"os"
	"strconv"
	"testing"
)

func TestOne(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	n, _ := strconv.Atoi(os.Getenv("SEEDS"))
	total, events := 0, 0
	for s := seed; s < seed+uint64(n); s++ {
		stats, err := Run(Options{Seed: s, Rounds: 20, Bug: os.Getenv("BUG"), Trace: n == 1, Unbounded: os.Getenv("UNB") != ""})
		total += stats.Failovers
		events += stats.Events
		var e *Error
		if errors.As(err, &e) {
			t.Errorf("%v", err)
			if n == 1 {
				t.Log("\n" + e.History())
			}
		}
		if n == 1 {
			t.Log(stats)
		}
	}
	t.Log(total, "failovers", events, "events")
}
