package repository_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store/local"
)

// TestFormatByHand runs the commands of docs/format on a repository, with nothing but stock tools.
func TestFormatByHand(t *testing.T) {
	for _, tool := range []string{"sh", "age", "zstd", "tar", "jq", "openssl", "xxd", "sha256sum", "python3"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" || os.Getenv("BACKSTAY_NEED_SERVERS") == "1" {
			t.Fatalf("%s is not installed", tool)
		}
		t.Skipf("%s is not installed", tool)
	}
	dir := t.TempDir()
	w := newWorld(t, local.New(dir))
	w.takeBase(t)
	dropped := w.appendSegment(t, 2, 100)
	w.appendSegment(t, 3, 100)
	if err := w.open(t, func(o *repository.Options) { o.Signer = w.signer }).Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.putTip(t, 5, 6)
	if _, err := w.repo.Drop(t.Context(), repository.Order{Names: []string{dropped.Object}, Reason: "too old", Decided: facts(t, w.repo).Head.Size}); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "backstay.key")
	if err := os.WriteFile(key, []byte("# of anna\n"+w.reader.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n(.*?)```")
	for _, page := range []string{"keys.md", "ledger.md", "manifest.md"} {
		text, err := os.ReadFile(filepath.Join("../../docs/format", page))
		if err != nil {
			t.Fatal(err)
		}
		script := "set -eu\n"
		blocks := block.FindAllStringSubmatch(string(text), -1)
		for _, b := range blocks {
			script += b[1]
		}
		if len(blocks) < 2 {
			t.Errorf("%s has %d blocks of commands", page, len(blocks))
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "S=app", "KEY="+key)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
	for name, want := range content {
		if got, err := os.ReadFile(filepath.Join(dir, "files", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "listed")); !strings.Contains(string(b), "log/1/") || strings.Contains(string(b), dropped.Object) {
		t.Errorf("listed segments: %s", b)
	}
}
