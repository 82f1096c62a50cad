package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// writeTimeout bounds one message; the manager's queue takes it at once or is full.
const writeTimeout = time.Second

// Manager is the service manager that started this process. The zero Manager is none: its methods do nothing.
type Manager struct {
	socket   string        // as NOTIFY_SOCKET says it; empty: nobody listens
	watchdog time.Duration // how often it must hear that the process is alive; zero: it does not ask
}

// FromEnvironment is the manager that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID name. An error says which of them cannot
// be understood; the Manager with it does what the others ask.
func FromEnvironment() (Manager, error) {
	var m Manager
	var errs []error
	switch socket := os.Getenv("NOTIFY_SOCKET"); {
	case socket == "", strings.HasPrefix(socket, "/"), strings.HasPrefix(socket, "@"):
		m.socket = socket
	default:
		errs = append(errs, fmt.Errorf("read NOTIFY_SOCKET: %q is neither a path nor an abstract name", socket))
	}
	if text := os.Getenv("WATCHDOG_USEC"); text != "" && own(os.Getenv("WATCHDOG_PID")) {
		usec, err := strconv.ParseInt(text, 10, 64)
		if err != nil || usec <= 0 || usec > int64(time.Duration(1<<63-1)/time.Microsecond) {
			errs = append(errs, fmt.Errorf("read WATCHDOG_USEC: %q is no number of microseconds", text))
		} else {
			m.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return m, errors.Join(errs...)
}

// own reports whether pid names this process; if it is empty, any is meant.
func own(pid string) bool { return pid == "" || pid == strconv.Itoa(os.Getpid()) }

// Listens reports whether a manager hears what is said.
func (m Manager) Listens() bool { return m.socket != "" }

// Watchdog is how long the process may be silent before the manager restarts it; zero if it may be for ever. Alive must be
// called about twice as often.
func (m Manager) Watchdog() time.Duration {
	if !m.Listens() {
		return 0
	}
	return m.watchdog
}

// Ready says that the start, or a reload, is complete.
func (m Manager) Ready() error { return m.send("READY=1") }

// Stopping says that the process ends in order.
func (m Manager) Stopping() error { return m.send("STOPPING=1") }

// Alive says that the process is alive.
func (m Manager) Alive() error { return m.send("WATCHDOG=1") }

// Status says in one line, for people, how the process does.
func (m Manager) Status(text string) error {
	return m.send("STATUS=" + strings.Join(strings.Fields(text), " ")) // a line break would begin another variable
}

// Reloading says that the configuration is being read anew; Ready must follow. Units of Type=notify-reload need the time in it.
func (m Manager) Reloading() error {
	text := "RELOADING=1"
	if t, ok := monotonic(); ok {
		text += "\nMONOTONIC_USEC=" + strconv.FormatInt(t.Microseconds(), 10)
	}
	return m.send(text)
}

func (m Manager) send(text string) error {
	if !m.Listens() {
		return nil
	}
	// Go takes a name that begins with @ for an abstract one, as systemd does.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
