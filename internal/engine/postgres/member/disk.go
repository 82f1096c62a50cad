package member

import (
	"os"
	"path/filepath"
	"sync"
	"time"
)

// disk writes and syncs a small file in the data directory again and again, and where the log lies elsewhere there too: a disk that takes nothing
// shows as a write that waits, long before a server says so.
type disk struct {
	mu    sync.Mutex
	since map[string]time.Time // of writes that wait, by folder
	stop  chan struct{}
	all   sync.WaitGroup
}

const diskEach = 250 * time.Millisecond

func watchDisk(dir string) *disk {
	d := &disk{since: map[string]time.Time{}, stop: make(chan struct{})}
	dirs := []string{dir}
	if log, err := filepath.EvalSymlinks(filepath.Join(dir, "pg_wal")); err == nil && log != filepath.Join(dir, "pg_wal") {
		dirs = append(dirs, log)
	}
	for _, dir := range dirs {
		d.all.Add(1)
		go d.watch(dir)
	}
	return d
}

func (d *disk) watch(dir string) {
	defer d.all.Done()
	tick := time.NewTicker(diskEach)
	defer tick.Stop()
	var f *os.File
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	for {
		d.mark(dir, time.Now())
		if f == nil {
			f = probeFile(dir)
		}
		if f != nil {
			// An error is no stall: a full disk is told by the server.
			_, err := f.WriteAt([]byte(time.Now().Format(time.RFC3339Nano)), 0)
			if err == nil {
				err = f.Sync()
			}
			if err != nil {
				f.Close()
				f = nil
			}
		}
		d.mark(dir, time.Time{})
		select {
		case <-d.stop:
			return
		case <-tick.C:
		}
	}
}

// probeFile is a file without a name, where the system lets an open file go without one.
func probeFile(dir string) *os.File {
	f, err := os.CreateTemp(dir, ".backstay-probe-")
	if err != nil {
		return nil // there is no data yet, or it is being replaced
	}
	_ = os.Remove(f.Name())
	return f
}

func (d *disk) mark(dir string, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.since[dir] = at
}

// stalled is how long the oldest write has been waiting; negative: none is.
func (d *disk) stalled() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	longest := time.Duration(-1)
	for _, at := range d.since {
		if !at.IsZero() {
			longest = max(longest, time.Since(at))
		}
	}
	return longest
}

// close lets go of the goroutines. One whose write waits ends with that.
func (d *disk) close() {
	close(d.stop)
	if d.stalled() < time.Second {
		d.all.Wait()
	}
}
