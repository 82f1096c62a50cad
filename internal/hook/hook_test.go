//go:build unix

package hook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var event = Event{Moment: "after", Work: "drill", Source: "orders", Job: "j1", Outcome: "failed", Error: "no room"}

func shell(line string) Hook { return Hook{Command: []string{"/bin/sh", "-c", line}} }

func TestAProgramIsToldWhatItIsAbout(t *testing.T) {
	dir := t.TempDir()
	h := shell(`cat > body; printf '%s|' "$BACKSTAY_MOMENT" "$BACKSTAY_WORK" "$BACKSTAY_SOURCE" "$BACKSTAY_JOB" "$BACKSTAY_OUTCOME" "$BACKSTAY_ERROR" > env`)
	h.Dir = dir
	results, err := Run(t.Context(), []Hook{h}, event)
	if err != nil || len(results) != 1 || results[0].Name != "sh" {
		t.Fatalf("%+v, %v", results, err)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil || string(env) != "after|drill|orders|j1|failed|no room|" {
		t.Errorf("environment %q, %v", env, err)
	}
	body, err := os.ReadFile(filepath.Join(dir, "body"))
	var got Event
	if err != nil || json.Unmarshal(body, &got) != nil || got != event {
		t.Errorf("body %q, %v", body, err)
	}
}

func TestAFailureStopsOrGoesOn(t *testing.T) {
	dir := t.TempDir()
	bad, good := shell("echo 'token=hunter2 is refused' >&2; exit 3"), shell("touch done")
	good.Dir = dir
	results, err := Run(t.Context(), []Hook{bad, good}, event)
	var failed *FailedError
	if !errors.As(err, &failed) || len(results) != 1 || failed.Hint() == "" {
		t.Errorf("%+v, %v", results, err)
	}
	if text := err.Error(); !strings.Contains(text, "exit status 3") || !strings.Contains(text, "is refused") || strings.Contains(text, "hunter2") {
		t.Errorf("%v: it says why, without the secret", err)
	}
	bad.GoOn = true
	if results, err := Run(t.Context(), []Hook{bad, good}, event); err != nil || len(results) != 2 || results[0].Err == nil {
		t.Errorf("%+v, %v", results, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "done")); err != nil {
		t.Error(err)
	}
	if _, err := Run(t.Context(), []Hook{{Command: []string{"/none/such"}}}, event); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

// TestTheWholeGroupEnds lets a program that is out of time, and one that ends well, leave children behind.
func TestTheWholeGroupEnds(t *testing.T) {
	for name, line := range map[string]string{
		"out of time": `sleep 600 & echo $! > child; wait`,
		"deaf":        `trap '' TERM; sleep 600 & echo $! > child; while :; do sleep 1; done`,
		"ends":        `sleep 600 >/dev/null 2>&1 </dev/null & echo $! > child`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := shell(line)
			h.Dir, h.Timeout = t.TempDir(), 500*time.Millisecond
			began := time.Now()
			_, err := Run(t.Context(), []Hook{h}, event)
			if (err == nil) != (name == "ends") || err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			b, err := os.ReadFile(filepath.Join(h.Dir, "child"))
			if err != nil {
				t.Fatal(err)
			}
			var pid int
			for _, c := range strings.TrimSpace(string(b)) {
				pid = pid*10 + int(c-'0')
			}
			for end := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					t.Fatal("a child lives on")
				}
			}
		})
	}
}

// alive reports whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "stat"))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestAnAddressIsCalled(t *testing.T) {
	var got Event
	status := http.StatusNoContent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if json.Unmarshal(body, &got) != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("body %q", body)
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	h := Hook{URL: s.URL + "/t0ken"}
	if _, err := Run(t.Context(), []Hook{h}, event); err != nil || got != event {
		t.Errorf("%+v, %v", got, err)
	}
	status = http.StatusForbidden
	_, err := Run(t.Context(), []Hook{h}, event)
	if err == nil || !strings.Contains(err.Error(), "403") || strings.Contains(err.Error(), "t0ken") {
		t.Errorf("%v", err)
	}
	s.Close()
	if _, err := Run(t.Context(), []Hook{h}, event); err == nil || strings.Contains(err.Error(), "t0ken") {
		t.Errorf("%v", err)
	}
}
