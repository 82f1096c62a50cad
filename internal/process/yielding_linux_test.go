package process

import (
	"testing"

	"golang.org/x/sys/unix"
)

// nice is the niceness of the calling thread.
func nice(t *testing.T) int {
	t.Helper()
	n, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err != nil {
		t.Error(err)
	}
	return 20 - n
}

func TestYieldChangesItsOwnThreadOnly(t *testing.T) {
	before := nice(t)
	yielded, end, after := make(chan int), make(chan bool), make(chan int)
	go func() {
		Yield()
		yielded <- nice(t)
		<-end
	}()
	got := <-yielded
	if want := max(before, niceness); got != want {
		t.Errorf("the thread that yields has niceness %d, want %d", got, want)
	}
	for range 8 { // Others run on threads of their own.
		go func() { after <- nice(t) }()
	}
	for range 8 {
		if n := <-after; n != before {
			t.Errorf("another goroutine has niceness %d, want %d", n, before)
		}
	}
	close(end)
	for range 100 { // The thread that yielded serves nobody afterwards.
		go func() { after <- nice(t) }()
		if n := <-after; n != before {
			t.Fatalf("a later goroutine has niceness %d, want %d", n, before)
		}
	}
}
