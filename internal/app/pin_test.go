package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// made is a repository of the source app that a host made for whoever has a key.
func made(t *testing.T, h *Host, s store.Store) *repository.Repository {
	t.Helper()
	signer, err := h.signer()
	if err != nil {
		t.Fatal(err)
	}
	readers, err := h.newReaders()
	if err != nil {
		t.Fatal(err)
	}
	r, err := repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", Engine: "sqlite", Signer: signer, Readers: readers})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func hostIn(t *testing.T) *Host {
	t.Helper()
	return NewHost(&config.Config{Path: filepath.Join(t.TempDir(), config.Name)}, slog.New(slog.DiscardHandler))
}

func TestARepositoryOfSomebodyElseIsRefused(t *testing.T) {
	ours, theirs := hostIn(t), hostIn(t)
	right, forged := t.TempDir(), t.TempDir()
	open := func(dir string) store.Store {
		s, err := local.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	made(t, ours, open(right))
	recipient, err := recipientOf(ours.Config.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	theirs.Config.Recipients = map[string]string{"backstay.key": recipient} // all that a forger has to know
	made(t, theirs, open(forged))
	reach := Reach{Store: right, Key: ours.Config.KeyFile()}
	if _, err := ours.Open(t.Context(), reach); err != nil {
		t.Fatalf("the right one: %v", err)
	}
	reach.Store = forged
	_, err = ours.Open(t.Context(), reach)
	var pin *PinError
	if !errors.As(err, &pin) || !strings.Contains(pin.Hint(), "repository key") {
		t.Fatalf("a forged one: %v", err)
	}
	signer, err := theirs.signer()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(pin.Error(), signer.Verifier()) {
		t.Errorf("the error does not say who signed it: %v", pin)
	}
	// One who looked, and knows that it is his own after all.
	if err := addPin(ours.Config.KeyFile(), signer.Verifier()); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Open(t.Context(), reach); err != nil {
		t.Errorf("with its key in the file: %v", err)
	}
	if got, err := recipientOf(ours.Config.KeyFile()); err != nil || got != recipient {
		t.Errorf("the key itself is %q now, %v", got, err)
	}
}

func TestPinsAreAddedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backstay.key")
	if err := addPin(path, "host+1+k"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a key file was made where none was")
	}
	if _, err := makeKey(path, time.Now(), "host+1+k"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(addPin(path, "host+1+k"), addPin(path, "other+2+k")); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ReadKey(path)
	if err != nil || !slices.Equal(key.Pins, []string{"other+2+k", "host+1+k"}) || len(key.Identities) != 1 {
		t.Errorf("pins %q, %v", key.Pins, err)
	}
}

func TestExpectedTimeIsWhatDrillsMeasured(t *testing.T) {
	h := hostIn(t)
	repo := made(t, h, mem.New())
	signer, err := h.signer()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ledger.NewSigner("stranger")
	if err != nil {
		t.Fatal(err)
	}
	put := func(s *ledger.Signer, r drill.Report) {
		t.Helper()
		r.Source = "app"
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := s.Sign("backstay drill v0\n" + string(text) + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := repo.PutReport(t.Context(), r.ID(), signed); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	put(signer, drill.Report{Began: at, LaidBytes: 1000, LaySeconds: 10, LogBytes: 300, ReplaySeconds: 10})
	put(signer, drill.Report{Began: at.Add(time.Hour), LaidBytes: 2000, LaySeconds: 10})                                    // no log to replay
	put(signer, drill.Report{Began: at.Add(2 * time.Hour), Reason: "damaged"})                                              // measured nothing
	put(stranger, drill.Report{Began: at.Add(3 * time.Hour), LaidBytes: 1, LaySeconds: 10, LogBytes: 1, ReplaySeconds: 10}) // does not count
	facts, err := repo.Facts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r := &Reached{Source: "app", Repositories: []OpenRepository{{Repo: repo, Facts: facts}}}
	if l := r.limits(t.Context(), r.Repositories[0]); l.LayBytesPerSecond != 200 || l.ReplayBytesPerSecond != 30 {
		t.Errorf("limits %+v, want 200 and 30 bytes a second", l)
	}
}

func TestPlanMakesNoKeyForARepositoryThatHasReaders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, config.Name)
	if err := os.WriteFile(filepath.Join(dir, "app.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plan := func() string {
		t.Helper()
		p, err := PlanProtect(t.Context(), ProtectOptions{Config: file, URL: "sqlite:./app.db", Stores: []string{"./repo"}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return p.MakesKey
	}
	if plan() == "" {
		t.Error("no key would be made for a new repository")
	}
	s, err := local.Open(t.Context(), filepath.Join(dir, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	made(t, hostIn(t), s)
	if key := plan(); key != "" {
		t.Errorf("%s would be made though another host has settled who can read", key)
	}
}
