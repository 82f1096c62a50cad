package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func TestAReceiverThatForgotIsNotWhole(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	yes, no := func() bool { return true }, func() bool { return false }
	w := openWhole(dir)
	if w.is() {
		t.Error("it never received anything")
	}
	w.mend(no, log)
	if w.is() {
		t.Error("it has not caught up")
	}
	w.mend(yes, log)
	journal := filepath.Join(dir, "journal-000001")
	if err := os.WriteFile(journal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !w.is() || !openWhole(dir).is() {
		t.Error("it caught up, and a start changes nothing of that")
	}
	w.tear(log)
	if w.is() || openWhole(dir).is() {
		t.Error("it has forgotten log, across a start too")
	}
	w.mend(yes, log)
	if err := os.Remove(journal); err != nil {
		t.Fatal(err)
	}
	if openWhole(dir).is() {
		t.Error("its spool is gone")
	}
}
