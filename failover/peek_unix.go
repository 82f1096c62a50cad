//go:build unix

package failover

import "syscall"

// peek looks whether anything came from the other side while nobody read: its end, or a message. It waits for nothing.
func (w *wire) peek() (came bool) {
	socket, ok := w.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true // it is closed
	}
	var one [1]byte
	// Control, since Read would wait for a reader that pgx may have left in the background. What that one gets it tells.
	err = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		came = err != syscall.EAGAIN && err != syscall.EWOULDBLOCK && err != syscall.EINTR
	})
	return came || err != nil
}
