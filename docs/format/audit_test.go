package format_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store/local"
)

func TestAuditByHand(t *testing.T) {
	needTools(t)
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq is not installed")
	}
	dir := t.TempDir()
	signer, err := ledger.NewSigner("db1")
	if err != nil {
		t.Fatal(err)
	}
	name := audit.NameOf("db1", signer)
	l, err := audit.Open(audit.Config{Store: local.New(dir), Name: name, Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // a bundle, and some behind the checkpoint
		if _, err := l.Append(t.Context(), audit.Entry{What: audit.Base, Outcome: audit.OK, Why: fmt.Sprintf("reason %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("L", "audit/"+name)
	out, err := run(t, dir, "audit.md")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != 300 || !strings.Contains(lines[0], `"why":"reason 0"`) || !strings.Contains(lines[299], `"why":"reason 299"`) {
		t.Errorf("%v: %d lines, the last %s", err, len(lines), lines[len(lines)-1])
	}
}
