package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// whole is whether what a receiver has is all that it ever acknowledged. A spool that was lost, or whose line was torn, has forgotten some, and the
// receiver's promise proves nothing until it has caught up with a primary again. The mark lies in the spool, so that it is lost with it.
type whole struct {
	path string

	mu   sync.Mutex
	mark bool
}

func openWhole(spool string) *whole {
	w := &whole{path: filepath.Join(spool, "whole")}
	_, err := os.Stat(w.path)
	journals, _ := filepath.Glob(filepath.Join(spool, "journal-*")) // the pattern is right
	w.mark = err == nil && len(journals) > 0
	return w
}

func (w *whole) is() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mark
}

// tear takes the mark away, before anything else becomes of the spool. It counts as gone in this process though its file can't be removed.
func (w *whole) tear(log *slog.Logger) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark = false
	err := os.Remove(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = atomicfile.SyncDir(filepath.Dir(w.path))
	}
	if err != nil {
		log.Error("that a receiver has forgotten log can't be noted", "err", err)
	}
}

// mend sets the mark once caught says that all which a primary had is here. That is asked again when nobody can take the mark away: whoever does has ended
// the stream by then.
func (w *whole) mend(caught func() bool, log *slog.Logger) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mark || !caught() {
		return
	}
	if err := atomicfile.Write(w.path, nil, 0o600); err != nil {
		log.Warn("that a receiver has all log can't be noted; trying again", "err", err)
		return
	}
	w.mark = true
}
