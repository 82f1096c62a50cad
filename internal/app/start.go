package app

import (
	"context"
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
)

// StartError says that an engine has no server that could be left running.
type StartError struct{ Engine string }

func (e *StartError) Error() string { return fmt.Sprintf("engine %s has no server to start", e.Engine) }

// Hint says what to do instead.
func (e *StartError) Hint() string {
	return "leave --start out, and open what was restored with the application"
}

// CanStart fails if Start would, whatever was restored.
func (p *Restore) CanStart() error {
	_, err := p.starter()
	return err
}

func (p *Restore) starter() (engine.Starter, error) {
	e, err := p.reached.Engine()
	if err != nil {
		return nil, err
	}
	s, ok := e.(engine.Starter)
	if !ok {
		return nil, &StartError{Engine: e.Kind()}
	}
	return s, nil
}

// Start leaves a private server running on what was restored to dir.
func (p *Restore) Start(ctx context.Context, dir string) (engine.Running, error) {
	s, err := p.starter()
	if err != nil {
		return engine.Running{}, err
	}
	return s.Start(ctx, dir)
}
