package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Watchdog is a device that restarts the host when nobody writes to it for a while: the one fence for a host that hangs as a whole. The
// guard opens it only while the server may be primary.
type Watchdog struct {
	Path  string        // "/dev/watchdog"
	Lease time.Duration // for how long a deadline is renewed: cluster.Config.Lease
	Grace time.Duration // by when after the deadline the host must have ended: cluster.Config.StopGrace

	f      *os.File
	limit  time.Duration // that the device has
	failed string        // why it could not be opened, last
	again  time.Time     // not before
}

// What Check says of a device.
var (
	ErrNoDevice = errors.New("there is no such device")
	ErrNoRight  = errors.New("this user may not write to it")
	ErrTooShort = errors.New("the lease is too short for it")
)

// Check says why the device can't do its work, as far as that can be known without opening it, which would start it.
func (w *Watchdog) Check() error {
	info, err := os.Stat(w.Path)
	switch {
	case w.longest() < time.Second:
		err = fmt.Errorf("%w: it counts seconds, and must have ended the host %s after a deadline that is renewed for %s", ErrTooShort, w.Grace, w.Lease)
	case errors.Is(err, fs.ErrNotExist), err == nil && info.Mode()&(os.ModeDevice|os.ModeNamedPipe) == 0:
		err = ErrNoDevice
	case err == nil:
		err = mayWrite(w.Path)
	}
	if err != nil {
		return fmt.Errorf("use watchdog %s: %w", w.Path, err)
	}
	return nil
}

// reopening is how soon a device is tried again that could not be opened.
const reopening = 10 * time.Second

// pet tells the device that all is well, unless the host could then live beyond the deadline and its grace. It returns why the device can't be
// used, once for each reason.
func (w *Watchdog) pet(left time.Duration) error {
	if w == nil || left < w.need()-w.Grace {
		return nil
	}
	if w.f == nil {
		if time.Now().Before(w.again) {
			return nil
		}
		if err := w.open(); err != nil {
			w.again = time.Now().Add(reopening)
			if err.Error() == w.failed {
				return nil
			}
			w.failed = err.Error()
			return fmt.Errorf("use watchdog %s: %w", w.Path, err)
		}
		w.failed = ""
	}
	_, _ = w.f.WriteString("1") // what the device makes of it is its own
	return nil
}

// need is the limit, or the longest that it may turn out to have.
func (w *Watchdog) need() time.Duration {
	if w.f == nil {
		return w.longest()
	}
	return w.limit
}

// open opens the device and gives it the shortest limit that it takes.
func (w *Watchdog) open() error {
	f, err := os.OpenFile(w.Path, os.O_WRONLY, 0)
	if err != nil {
		return plainly(err)
	}
	w.f = f
	if w.limit, err = setWatchdog(f, w.longest()); err != nil {
		w.release() // with the limit that it has it would come too late
		return err
	}
	return nil
}

// plainly leaves out the path, which is said already.
func plainly(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// release lets go of the device, without a restart.
func (w *Watchdog) release() {
	if w == nil || w.f == nil {
		return
	}
	_, _ = w.f.WriteString("V") // "magic close": the driver disarms it
	w.f.Close()
	w.f, w.limit = nil, 0
}

// longest is the longest limit that every renewal of the deadline leaves time for: a beat may take half of a lease. With a longer one the host
// of a primary that is well would be restarted.
func (w *Watchdog) longest() time.Duration { return (w.Lease/2 + w.Grace).Truncate(time.Second) }

// shortest finds the shortest limit up to longest that a device takes. set gives it a number of seconds, and says which it has then.
func shortest(longest time.Duration, set func(seconds int) (int, error)) (time.Duration, error) {
	most := int(longest / time.Second)
	var last error
	for want := 1; want <= most; want++ {
		got, err := set(want)
		if err == nil && got > 0 && got <= most {
			return time.Duration(got) * time.Second, nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("it makes %d s of that", got)
		}
	}
	return 0, fmt.Errorf("it takes no limit of up to %d s, which is what the lease allows (%w): a longer lease, or another device", most, last)
}
