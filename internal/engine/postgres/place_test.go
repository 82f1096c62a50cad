package postgres

import (
	"os"
	"strings"
	"testing"
)

func TestOnThisHost(t *testing.T) {
	for host, want := range map[string]bool{
		"/var/run/postgresql": true, "127.0.0.1": true, "::1": true, "192.0.2.1": false, "2001:db8::1": false,
	} {
		if got := onThisHost(t.Context(), host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestOnOneDisk(t *testing.T) {
	dir := t.TempDir()
	if !onOneDisk(dir, t.TempDir()) {
		t.Error("two folders beside each other lie on two disks")
	}
	if _, err := os.Stat("/proc/self"); err == nil && onOneDisk("/proc/self", dir) {
		t.Error("/proc lies on the disk of temporary files")
	}
	if onOneDisk(dir+"/missing", dir) {
		t.Error("a folder that is not there lies on a disk")
	}
}

// TestWhatCommitsThatWaitSurvive holds that the advice names what is lost with what.
func TestWhatCommitsThatWaitSurvive(t *testing.T) {
	for p, words := range map[place][]string{sameDisk: {"warning", "disk"}, sameHost: {"info", "the server's host"}, unknownPlace: {"info", "with the server"}, anotherHost: {"info", "both"}} {
		list := advise(serverFacts{settings: map[string]string{"synchronous_standby_names": "backstay"}, name: "backstay", place: p})
		found := false
		for _, a := range list {
			found = found || a.Severity == words[0] && strings.Contains(a.Text, "commits wait") && strings.Contains(a.Text, words[1])
			if strings.Contains(a.Text, "do not wait") {
				t.Errorf("place %d: %q", p, a.Text)
			}
		}
		if !found {
			t.Errorf("place %d: %+v", p, list)
		}
	}
}

// TestWhatCommitsThatWaitForARepositorySurvive: then the spool has no part in it.
func TestWhatCommitsThatWaitForARepositorySurvive(t *testing.T) {
	for copies, words := range map[int]string{1: "safe in a repository", 2: "safe in 2 repositories"} {
		a := sameDisk.advise(copies)
		if a.Severity != "info" || !strings.Contains(a.Text, words) || strings.Contains(a.Text, "spool") || strings.Contains(a.Do, "ack") {
			t.Errorf("%d: %+v", copies, a)
		}
	}
}
