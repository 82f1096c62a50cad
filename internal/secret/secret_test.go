package secret

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, open := write("good", "hunter2\n", 0o600), write("open", "hunter2\n", 0o644)
	t.Setenv("A_SECRET", "hunter2")
	t.Setenv("EMPTY", "")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for reference, want := range map[string]string{
		"env:A_SECRET": "", "file:" + good: "", "credential:good": "", "command:printf hunter2": "",
		"env:NOBODY_SET_THIS":   "no such variable",
		"env:EMPTY":             "empty",
		"file:" + dir + "/none": "no such file",
		"credential:../good":    "not the name of a credential",
		"command:":              "names no program",
		"command:false":         "exit status 1",
		"vault:x":               "a path and a field",
		"slack://x":             "begins with one of",
		"hunter2":               "begins with one of",
	} {
		got, err := Find(t.Context(), reference)
		if want == "" && (err != nil || got != "hunter2") {
			t.Errorf("%s: %q, %v", reference, got, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") && reference != "hunter2") {
			t.Errorf("%s: %v, want %q in it and no secret", reference, err, want)
		}
	}
	if _, err := Find(t.Context(), "file:"+open); runtime.GOOS != "windows" && err == nil {
		t.Error("a file that everybody can read is taken")
	}
	if !IsReference("env:X") || IsReference("slack://x") || IsReference("") {
		t.Error("references are not told from URLs")
	}
}

func TestVault(t *testing.T) {
	const secret = "hunter2"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Vault-Token") != "t0ken":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/v1/secret/data/backstay":
			fmt.Fprintf(w, `{"data":{"data":{"slack":%q,"n":3},"metadata":{"version":2}}}`, secret)
		case r.URL.Path == "/v1/old/backstay":
			fmt.Fprintf(w, `{"data":{"slack":%q}}`, secret)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	t.Setenv("VAULT_ADDR", s.URL)
	t.Setenv("VAULT_TOKEN", "t0ken")
	for _, reference := range []string{"vault:secret/data/backstay#slack", "vault:old/backstay#slack"} {
		if got, err := Find(t.Context(), reference); err != nil || got != secret {
			t.Errorf("%s: %q, %v", reference, got, err)
		}
	}
	for reference, want := range map[string]string{"vault:secret/data/backstay#n": "no text", "vault:none#x": "404"} {
		if _, err := Find(t.Context(), reference); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", reference, err)
		}
	}
	t.Setenv("VAULT_TOKEN", "another")
	if _, err := Find(t.Context(), "vault:old/backstay#slack"); err == nil || strings.Contains(err.Error(), "another") {
		t.Errorf("a wrong token: %v", err)
	}
}
