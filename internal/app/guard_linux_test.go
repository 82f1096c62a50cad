package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/agent"
)

// TestMain lets this program be the guard of a member, as backstay is. It ends with its deadline's file; where guardFails is set, at once.
func TestMain(m *testing.M) {
	if len(os.Args) < 4 || os.Args[1] != "guard" {
		os.Exit(m.Run())
	}
	if os.Getenv(guardFails) != "" {
		os.Exit(1)
	}
	path, data := os.Args[2], os.Args[3]
	ctx, end := context.WithCancel(context.Background())
	go func() {
		defer end()
		for _, err := os.Stat(filepath.Dir(path)); err == nil; _, err = os.Stat(filepath.Dir(path)) {
			time.Sleep(50 * time.Millisecond)
		}
	}()
	if err := Guard(ctx, path, data, "", 0, func(string) {}); err != nil {
		os.Exit(1)
	}
}

const guardFails = "APP_TEST_GUARD_FAILS"

func TestNobodyIsPrimaryWithoutTheGuardThatCounts(t *testing.T) {
	t.Setenv(guardFails, "yes")
	var w *trio
	t.Cleanup(func() { // last of all
		for _, name := range w.Config.Clusters["shop"].Order {
			_ = os.RemoveAll(filepath.Dir(deadlinePath(w.memberState("shop", name))))
		}
	})
	w = makeServers(t, 2, false, "{ mode: automatic, max_loss: 0B, degraded: true }", "", "", "guard: true")
	until(t, "it is shown that no guard runs, after a promotion was begun", func() bool {
		c := w.cluster(t)
		return c.Members[0].Error == "it counts as guarded, and no guard runs" && c.Epoch > 0
	})
	for range 20 { // keepers try all the time
		if c := w.cluster(t); c.State == "serving" {
			t.Fatalf("a member leads without its guard: %+v", c)
		}
		time.Sleep(100 * time.Millisecond)
	}
	os.Unsetenv(guardFails)
	until(t, "a primary", func() bool {
		c := w.cluster(t)
		return c.State == "serving" && c.Members[0].Error == "" && c.Members[1].Error == ""
	})
}

func TestAWatchdogThatIsNotThereIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := fmt.Sprintf("clusters:\n  shop:\n    members:\n      db1: { url: \"postgres://backstay@127.0.0.1:1/\", host: here, data: %s, guard: true, watchdog: %s }\n    failover: { mode: manual, max_loss: 1MiB }\n",
		filepath.Join(dir, "data"), filepath.Join(dir, "watchdog"))
	err := hostOfFile(t, file).Run(t.Context(), RunOptions{Host: "here", Exit: func(error) int { return 1 }})
	if !errors.Is(err, agent.ErrNoDevice) || !strings.Contains(hintOf(err), "softdog") {
		t.Errorf("%v; %s", err, hintOf(err))
	}
}
