//go:build unix

package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestADaemonTakesFingerprintsAndDrillsCompare protects a real server with a sentinel in it, has the daemon take a fingerprint, and
// drills to it.
func TestADaemonTakesFingerprintsAndDrillsCompare(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers; without -short")
	}
	c := pgtest.New(t, pgtest.Options{})
	c.Exec(t, "create table orders as select g as n, md5(g::text) as v from generate_series(1, 500) g")
	dir := t.TempDir()
	file := filepath.Join(dir, config.Name)
	text := fmt.Sprintf("repositories: { local: { store: ./repo } }\nsources: { shop: { url: %q, repositories: [local], sentinel: on, drill: { every: monthly, to: [fingerprint] } } }\n", c.SocketURL(pgtest.Admin))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHost(cfg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, RunOptions{Version: "test", Exit: func(error) int { return 1 }}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	client := api.Dial(h.State())
	until(t, "a sentinel in what is followed", func() bool {
		s, err := client.Status(t.Context())
		return err == nil && s.Sources[0].State == stateFollowing && s.Sources[0].Sentinel != nil && !s.Sources[0].Sentinel.Written.IsZero()
	})
	if _, err := h.RunNow(t.Context(), "shop", api.Pause{Kind: "fingerprint", By: "anna"}); err != nil {
		t.Fatal(err)
	}
	until(t, "a fingerprint", func() bool {
		names, err := filepath.Glob(filepath.Join(dir, "repo", "shop", "report", "*"+fingerprintSuffix))
		if err != nil || len(names) == 0 {
			return false
		}
		sealed, err := os.ReadFile(names[0])
		return err == nil && isFingerprint(sealed) && !bytes.Contains(sealed, []byte("orders"))
	})
	c.Exec(t, "update orders set v = 'later'")
	scratch := pgtest.Place(t)
	var report drill.Report
	until(t, "the log up to it", func() bool {
		r, err := h.Open(t.Context(), Reach{Source: "shop"})
		if err != nil {
			return false
		}
		defer r.Close() //nolint:errcheck // it was only read
		report, _, err = r.Drill(t.Context(), DrillOptions{Pick: drill.Fingerprinted, Tool: "test", Scratch: scratch})
		if err != nil && !strings.Contains(err.Error(), "no fingerprint") {
			t.Fatal(err)
		}
		return err == nil
	})
	if report.Verdict != drill.Proved || report.Compared == nil || report.Compared.Rows < 500 || report.Sentinel == nil {
		t.Errorf("%s\n%+v\n%+v", report, report.Compared, report.Sentinel)
	}
	runs, err := h.Runs(t.Context(), "shop", 10)
	if err != nil || len(runs) == 0 || !strings.Contains(fmt.Sprintf("%+v", runs), "tables, at") {
		t.Errorf("%+v, %v", runs, err)
	}
}
