package sqlite

import "github.com/fsnotify/fsnotify"

// nudge tells when a file is written, so that nobody needs to look all the time. inotify opens no descriptor of the file; on
// systems where watching does (kqueue), closing it would drop SQLite's locks, so there we look instead.
type nudge struct {
	w    *fsnotify.Watcher
	path string
}

func newNudge(path string) *nudge {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil
	}
	return &nudge{w: w, path: path}
}

// arm begins to watch and reports whether that works.
func (n *nudge) arm() bool {
	return n != nil && n.w.Add(n.path) == nil
}

// disarm ends watching: a busy file would only cost events.
func (n *nudge) disarm() {
	if n == nil {
		return
	}
	_ = n.w.Remove(n.path)
	for {
		select {
		case <-n.w.Events:
		default:
			return
		}
	}
}

// written is told of writes.
func (n *nudge) written() <-chan fsnotify.Event {
	if n == nil {
		return nil
	}
	return n.w.Events
}

func (n *nudge) close() {
	if n != nil {
		_ = n.w.Close()
	}
}
