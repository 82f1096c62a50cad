package sqlite

import (
	"context"
	"fmt"
	"os"

	"github.com/backstaydb/backstay/internal/engine"
	lib "modernc.org/sqlite/lib"
)

// Identify is engine.Source's.
func (s *Source) Identify(ctx context.Context) (engine.Identity, error) {
	if err := s.enter(ctx); err != nil {
		return engine.Identity{}, err
	}
	defer s.leave()
	info, err := os.Stat(s.path)
	if err != nil {
		return engine.Identity{}, fmt.Errorf("identify: %w", err)
	}
	h, err := readHeader(s.files.db)
	if err != nil {
		return engine.Identity{}, fmt.Errorf("identify: %w", err)
	}
	id := engine.Identity{Version: "SQLite " + lib.SQLITE_VERSION, Bytes: info.Size(), Files: []string{s.path}, Position: s.head.position}
	if h.wal {
		id.Mode = "wal"
		id.Files = append(id.Files, s.path+"-wal", s.path+"-shm")
		id.Advice = append(id.Advice, engine.Advice{Severity: "info",
			Text: "an application with SQLite 3.7.0 to 3.51.2 can damage a WAL when two connections checkpoint at the same moment; its version cannot be seen from here",
			Do:   "SELECT sqlite_version(); in the application should give 3.51.3 or later"})
		return id, nil
	}
	id.Mode = "rollback journal"
	id.Advice = append(id.Advice, engine.Advice{Severity: "warning",
		Text: "in rollback-journal mode changes are found by comparing the file, a second or two after they were made, and several commits can become one",
		Do:   "PRAGMA journal_mode=WAL; once, or: backstay protect --wal"})
	return id, nil
}
