package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStoppingAnAgentStopsNoServer: what an agent started is in its control group, and would be killed with it.
func TestStoppingAnAgentStopsNoServer(t *testing.T) {
	text, err := os.ReadFile("../../deploy/backstay-agent.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"KillMode=process", "PrivateDevices=no", "OOMScoreAdjust=0"} {
		if !strings.Contains(string(text), "\n"+want+"\n") {
			t.Errorf("the drop-in for agents lacks %s", want)
		}
	}
}

// TestTheUnitSaysWhatTheDaemonDoes holds deploy/backstay.service against what the daemon tells its manager.
func TestTheUnitSaysWhatTheDaemonDoes(t *testing.T) {
	text, err := os.ReadFile("../../deploy/backstay.service")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			said[name] = value
		}
	}
	for name, want := range map[string]string{
		"Type": "notify", "NotifyAccess": "main", "ExecReload": "/bin/kill -HUP $MAINPID", "Restart": "always",
		"ProtectSystem": "strict", "NoNewPrivileges": "yes", "StateDirectory": "backstay",
	} {
		if said[name] != want {
			t.Errorf("%s=%s, want %s", name, said[name], want)
		}
	}
	watchdog, err := time.ParseDuration(strings.Replace(said["WatchdogSec"], "min", "m", 1))
	if err != nil || watchdog < time.Minute {
		t.Errorf("WatchdogSec=%s: an answer may take 10s, and three questions fit into it: %v", said["WatchdogSec"], err)
	}
	// Data is read where it lies: nothing may hide it.
	for _, hides := range []string{"InaccessiblePaths", "TemporaryFileSystem", "RootDirectory", "DynamicUser"} {
		if _, ok := said[hides]; ok {
			t.Errorf("the unit has %s=", hides)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	// It wants the program to be there.
	unit := filepath.Join(t.TempDir(), "backstay.service")
	mine := strings.Replace(string(text), "/usr/local/bin/backstay", "/bin/true", 1)
	if err := os.WriteFile(unit, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
