package agent

import (
	"os"
	"time"
)

// Watchdog is a device that restarts the host when nobody writes to it for a while: the one fence for a host that hangs as a whole. The
// guard opens it only while the server may be primary.
type Watchdog struct {
	Path  string        // "/dev/watchdog"
	Limit time.Duration // of the device, whole seconds; zero means 1s
	Grace time.Duration // by when after the deadline the host must have ended: cluster.Config.StopGrace

	f *os.File
}

// pet tells the device that all is well, unless the host could then live beyond the deadline and its grace.
func (w *Watchdog) pet(left time.Duration) {
	if w == nil || left < w.limit()-w.Grace {
		return
	}
	if w.f == nil {
		f, err := os.OpenFile(w.Path, os.O_WRONLY, 0)
		if err != nil {
			return
		}
		if err := setWatchdog(f, w.limit()); err != nil {
			f.Close() // with the limit that it has it would come too late, or too soon
			return
		}
		w.f = f
	}
	_, _ = w.f.WriteString("1") // what the device makes of it is its own
}

// release lets go of the device, without a restart.
func (w *Watchdog) release() {
	if w == nil || w.f == nil {
		return
	}
	_, _ = w.f.WriteString("V") // "magic close": the driver disarms it
	w.f.Close()
	w.f = nil
}

func (w *Watchdog) limit() time.Duration { return max(w.Limit.Truncate(time.Second), time.Second) }
