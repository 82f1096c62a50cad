package sqlite

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// Engine is the engine for SQLite files. The zero value is ready for use.
type Engine struct{}

var (
	_ engine.Protector = Engine{}
	_ engine.Source    = (*Source)(nil)
)

// Kind is "sqlite".
func (Engine) Kind() string { return "sqlite" }

// Connect opens the database that url names, for example sqlite:./app.db, and begins to note when its WAL moves. It
// changes nothing in it; in WAL mode SQLite makes the -wal and -shm files if they are not there.
func (Engine) Connect(ctx context.Context, url string, o engine.Options) (engine.Source, error) {
	path, err := pathOf(url)
	if err != nil {
		return nil, err
	}
	if path, err = locate(path); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Source{path: path, name: filepath.Base(path), options: o, turn: make(chan struct{}, 1), limits: defaultLimits}
	if err := s.attach(ctx); err != nil {
		s.detach()
		return nil, err
	}
	return s, nil
}
