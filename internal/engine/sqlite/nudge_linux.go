package sqlite

import (
	"path/filepath"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// nudge tells when a file is written, so that nobody needs to look all the time. inotify opens no descriptor of the file; on
// systems where watching does (kqueue), closing it would drop SQLite's locks, so there we look instead.
type nudge struct {
	hub  *hub
	path string
	told chan struct{} // holds one token
}

func newNudge(path string) *nudge {
	if !nudges.join() {
		return nil
	}
	return &nudge{hub: &nudges, path: filepath.Clean(path), told: make(chan struct{}, 1)}
}

// arm begins to watch and reports whether that works.
func (n *nudge) arm() bool {
	return n != nil && n.hub.add(n)
}

// disarm ends watching: a busy file would only cost events.
func (n *nudge) disarm() {
	if n == nil {
		return
	}
	n.hub.remove(n)
	select {
	case <-n.told:
	default:
	}
}

// written is told of writes.
func (n *nudge) written() <-chan struct{} {
	if n == nil {
		return nil
	}
	return n.told
}

func (n *nudge) close() {
	if n != nil {
		n.hub.remove(n)
		n.hub.leave()
	}
}

// nudges is the hub of this process: the system gives a user 128 of what a hub needs, and a host may have more databases.
var nudges hub

// hub watches files for all nudges. It has a goroutine as long as there are any.
type hub struct {
	mu      sync.Mutex
	members int
	w       *fsnotify.Watcher // nil without members
	by      map[string][]*nudge
	done    chan struct{}
}

// join makes the watcher for the first member; false if the system gives none.
func (h *hub) join() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.members == 0 {
		w, err := fsnotify.NewWatcher()
		if err != nil {
			return false
		}
		h.w, h.by, h.done = w, map[string][]*nudge{}, make(chan struct{})
		go h.pass(w, h.done)
	}
	h.members++
	return true
}

// leave ends the watcher with the last member, and waits for its goroutine.
func (h *hub) leave() {
	h.mu.Lock()
	h.members--
	w, done, last := h.w, h.done, h.members == 0
	if last {
		h.w = nil
	}
	h.mu.Unlock()
	if last {
		_ = w.Close()
		<-done
	}
}

// pass tells the nudges of a file what the watcher tells of it, until the watcher is closed.
func (h *hub) pass(w *fsnotify.Watcher, done chan struct{}) {
	defer close(done)
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			h.tell(e.Name)
		case _, ok := <-w.Errors: // news were lost: everybody looks
			if !ok {
				return
			}
			h.tell("")
		}
	}
}

// tell tells the nudges of a file, or all.
func (h *hub) tell(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of, list := range h.by {
		if path != "" && of != path {
			continue
		}
		for _, n := range list {
			select {
			case n.told <- struct{}{}:
			default:
			}
		}
	}
}

// add watches the file of n. The watcher is not asked under the lock: it may wait for pass, which takes it.
func (h *hub) add(n *nudge) bool {
	h.mu.Lock()
	w := h.w
	if !slices.Contains(h.by[n.path], n) {
		h.by[n.path] = append(h.by[n.path], n)
	}
	h.mu.Unlock()
	if w.Add(n.path) == nil {
		return true
	}
	h.remove(n)
	return false
}

// remove ends the watching for n, and with its last nudge that of the file.
func (h *hub) remove(n *nudge) {
	h.mu.Lock()
	w, list := h.w, h.by[n.path]
	i := slices.Index(list, n)
	if i >= 0 {
		if list = slices.Delete(list, i, i+1); len(list) > 0 {
			h.by[n.path] = list
		} else {
			delete(h.by, n.path)
		}
	}
	h.mu.Unlock()
	if i >= 0 && len(list) == 0 {
		_ = w.Remove(n.path)
	}
}
