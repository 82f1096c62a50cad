package process

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// niceness of work that others need not wait for: a tenth of the weight of an ordinary thread, so that a database on
// the same processors is served first and an idle machine is still used whole.
const niceness = 10

// See ioprio_set(2) and linux/ioprio.h: best effort is the class of ordinary threads, and 7 the last of its eight levels. The idle class
// would never end beside a database that keeps its disk busy.
const (
	ioprioWhoProcess = 1
	ioprioClassShift = 13
	bestEffort       = 2
	lowIO            = bestEffort<<ioprioClassShift | 7
)

// Yield gives the calling goroutine a thread of its own on which every other program of the machine goes before it,
// on the processors and at the disks, until the goroutine ends; the thread ends with it, and what it starts inherits that. It is for goroutines that compute for long: where the system
// refuses, nothing changes.
func Yield() {
	runtime.LockOSThread() // Never unlocked: a thread that was made to yield must not serve another goroutine.
	tid := unix.Gettid()
	if now, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err == nil && 20-now < niceness { // The call answers 20 - nice.
		_ = unix.Setpriority(unix.PRIO_PROCESS, tid, niceness)
	}
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(tid), lowIO)
}
