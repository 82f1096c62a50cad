// Package format_test runs the commands of by-hand.md and report.md as they stand there, with nothing but the tools that Debian has,
// and compares what they give with the database that was protected.
package format_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/s3"
	"github.com/backstaydb/backstay/internal/store/s3/s3test"
)

func TestByHandMeetsEveryForm(t *testing.T) {
	needTools(t)
	kept := t.TempDir()
	source := protect(t, local.New(filepath.Join(kept, "repo")), kept)
	dir := copyOf(t, kept)
	follow(t, dir)
	source.compare(t, dir)
	for _, form := range []string{"repo/app/ledger/bundle/*", "hand/log/1/*/condensed/*.ltx", "hand/tip/1/*/log/*@*"} {
		if found, err := filepath.Glob(filepath.Join(dir, form)); err != nil || len(found) == 0 {
			t.Errorf("the repository has no %s, which the page should meet: %v", form, err)
		}
	}
	// The commands can fail, too.
	for _, pattern := range []string{"base/*/pack-*", "base/*/map-*", "base/*/manifest", "log/*/*", "tip/*/*", "key/*"} {
		t.Run(strings.ReplaceAll(pattern, "/", " "), func(t *testing.T) {
			dir := copyOf(t, kept)
			found, err := filepath.Glob(filepath.Join(dir, "repo/app", pattern))
			if err != nil || len(found) == 0 {
				t.Fatalf("no object %s: %v", pattern, err)
			}
			object := found[len(found)-1]
			flip(t, object)
			if out, err := run(t, dir, "by-hand.md"); err == nil || !strings.Contains(out, "FAILED") {
				t.Errorf("%s was altered, and the commands ended with %v:\n%s", object, err, out)
			}
		})
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	c := t.TempDir()
	if err := os.CopyFS(c, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestByHandFromTheBinarysFolder(t *testing.T) {
	needTools(t)
	dir := t.TempDir()
	source := protectAsAPersonDoes(t, dir, "./repo", nil)
	follow(t, dir)
	source.compare(t, dir)
	// The report that the person has made by a drill is signed.
	repo := filepath.Join(dir, "repo")
	out, err := run(t, repo, "report.md")
	if err != nil || !strings.Contains(out, `"verdict": "proved"`) {
		t.Errorf("report.md: %v\n%s", err, out)
	}
	reports, err := filepath.Glob(filepath.Join(repo, "app/report/*"))
	if err != nil || len(reports) != 1 {
		t.Fatalf("reports %v, %v", reports, err)
	}
	flip(t, reports[0])
	if out, err := run(t, repo, "report.md"); err == nil {
		t.Errorf("an altered report passes:\n%s", out)
	}
}

func TestByHandFromTheBinarysBucket(t *testing.T) {
	needTools(t)
	server := s3test.Start(t)
	server.SetEnv(t)
	bucket, rest, _ := strings.Cut(server.Bucket(t, "hand", false), "?")
	url := bucket + "/prefix?" + rest
	dir := t.TempDir()
	source := protectAsAPersonDoes(t, dir, url, server.Environ())
	location, err := s3.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, s, filepath.Join(dir, "repo"))
	follow(t, dir)
	source.compare(t, dir)
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// needTools skips the test where a tool is not installed, or fails it where all must be.
func needTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"bash", "age", "zstd", "tar", "sqlite3", "python3", "sha256sum", "awk", "sed", "base64", "openssl"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" || os.Getenv("BACKSTAY_NEED_SERVERS") == "1" {
			t.Fatalf("%s is not installed", tool)
		}
		t.Skipf("%s is not installed", tool)
	}
}

// fetch copies all objects of a store into a folder.
func fetch(t *testing.T, s store.Store, dir string) {
	t.Helper()
	err := s.List(t.Context(), "app/", func(o store.Object) error {
		b, err := store.ReadAll(t.Context(), s, o.Name, 1<<30)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(o.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// follow does in dir what the page says.
func follow(t *testing.T, dir string) {
	t.Helper()
	if out, err := run(t, dir, "by-hand.md"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// run executes the commands of a page in one shell.
func run(t *testing.T, dir, name string) (string, error) {
	t.Helper()
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	blocks := shellBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) == 0 {
		t.Fatalf("%s has no commands", name)
	}
	var script strings.Builder
	for _, b := range blocks {
		script.WriteString(b[1])
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script.String())
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, append(os.Environ(), "S=app"), 5*time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}
