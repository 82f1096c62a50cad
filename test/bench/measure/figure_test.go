package measure

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	s := time.Second
	for got, want := range map[string]string{
		Short(MedianTime([]time.Duration{3 * s, 1 * s, 2 * s})): "2.00 s",
		Short(MedianTime([]time.Duration{4 * s, 1 * s})):        "2.50 s",
		Short(MedianTime(nil)):                                  "-",
		Ratio(s, 2*s):                                           "0.50 x",
		Ratio(s, 0):                                             "-",
		Size(3 << 29):                                           "1.5 GB",
		Short(Quantile([]time.Duration{1 * s, 2 * s, 3 * s, 4 * s}, 0.75)): "3.00 s",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if n, err := ParseSize("1.5GB"); n != 3<<29 || err != nil {
		t.Errorf("1.5GB is %d, %v", n, err)
	}
}

// TestRunCountsTheProcessesBelow lets a shell do the work in a process of its own.
func TestRunCountsTheProcessesBelow(t *testing.T) {
	u, err := Run(exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; sleep 0.2`), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if u.CPU() < 10*time.Millisecond || u.Wall < 200*time.Millisecond || u.Peak < 1<<18 {
		t.Errorf("usage %+v", u)
	}
}

func TestRunShowsWhatAProgramSaid(t *testing.T) {
	_, err := Run(exec.Command("sh", "-c", "echo out of cheese; exit 3"), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("error %v", err)
	}
}
