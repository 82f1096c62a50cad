package member

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	volume "github.com/backstaydb/backstay/internal/disk"
)

// disk writes and syncs a small file in the data directory again and again, and where the log lies elsewhere there too: a disk that takes nothing
// shows as a write that waits, long before a server says so. It also looks at how much room is left.
type disk struct {
	mu    sync.Mutex
	since map[string]time.Time // of writes that wait, by folder
	room  int64                // that a folder's disk should have, in bytes
	tight []string             // folders that have less
	stop  chan struct{}
	all   sync.WaitGroup
}

const diskEach = 250 * time.Millisecond

// room is three segments of log as PostgreSQL has them unless told otherwise: a promotion writes one, and what comes after it the next.
const room = 48 << 20

func watchDisk(dir string) *disk {
	d := &disk{since: map[string]time.Time{}, room: room, stop: make(chan struct{})}
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
			// An error is no stall: what else ails a disk is told by the server.
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
		d.measure(dir)
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

// measure notes whether dir has room. What can't be asked tells nothing.
func (d *disk) measure(dir string) {
	free, err := volume.Free(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tight = slices.DeleteFunc(d.tight, func(have string) bool { return have == dir })
	if err == nil && free < d.room {
		d.tight = append(d.tight, dir)
	}
}

// full reports whether hardly any room is left for the server.
func (d *disk) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.tight) > 0
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
