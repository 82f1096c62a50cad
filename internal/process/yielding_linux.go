package process

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// niceness of work that others need not wait for: a tenth of the weight of an ordinary thread, so that a database on
// the same processors is served first and an idle machine is still used whole.
const niceness = 10

// Yield gives the calling goroutine a thread of its own on which every other program of the machine goes before it,
// until the goroutine ends; the thread ends with it. It is for goroutines that compute for long: where the system
// refuses, nothing changes.
func Yield() {
	runtime.LockOSThread() // Never unlocked: a thread that was made to yield must not serve another goroutine.
	tid := unix.Gettid()
	if now, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err == nil && 20-now < niceness { // The call answers 20 - nice.
		_ = unix.Setpriority(unix.PRIO_PROCESS, tid, niceness)
	}
}
