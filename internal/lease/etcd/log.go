package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// again is how often the same line is told at most: a peer that is down is complained about several times a second.
const again = time.Minute

// logger brings etcd's lines into ours, one level lower than it calls them, since to us the loss of a peer is no error. With died the
// lines after which etcd would end the process end the goroutine that says them, and died is told.
func logger(to *slog.Logger, died func(error)) *zap.Logger {
	options := []zap.Option{}
	if died != nil {
		end := ending{died}
		options = append(options, zap.WithFatalHook(end), zap.WithPanicHook(end))
	}
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return zap.New(&core{to: to, told: &told{last: map[string]time.Time{}}}, options...)
}

// ending is called after a line that etcd's authors think nobody can go on from: a log that can't be written, or is broken.
type ending struct{ died func(error) }

// OnWrite implements zapcore.CheckWriteHook. It must not return.
func (e ending) OnWrite(line *zapcore.CheckedEntry, fields []zapcore.Field) {
	all := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(all)
	}
	if cause, ok := all.Fields["error"]; ok {
		e.died(fmt.Errorf("%s: %v", line.Message, cause))
	} else {
		e.died(fmt.Errorf("%s", line.Message))
	}
	runtime.Goexit()
}

// core implements zapcore.Core over slog.
type core struct {
	to   *slog.Logger
	with []zapcore.Field
	told *told
}

type told struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (t *told) lately(line string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.last[line]) < again {
		return true
	}
	if len(t.last) > 1000 { // lines are constants of etcd's, but who knows
		clear(t.last)
	}
	t.last[line] = now
	return false
}

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.DPanicLevel:
		return slog.LevelError
	case l >= zapcore.ErrorLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

// Enabled implements zapcore.LevelEnabler.
func (c *core) Enabled(l zapcore.Level) bool {
	return l >= zapcore.DPanicLevel || l >= zapcore.WarnLevel && c.to.Enabled(context.Background(), level(l))
}

// With implements zapcore.Core.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{c.to, append(c.with[:len(c.with):len(c.with)], fields...), c.told}
}

// Check implements zapcore.Core.
func (c *core) Check(line zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(line.Level) {
		return to
	}
	return to.AddCore(line, c)
}

// Write implements zapcore.Core.
func (c *core) Write(line zapcore.Entry, fields []zapcore.Field) error {
	if line.Level < zapcore.DPanicLevel && c.told.lately(line.Message, line.Time) {
		return nil
	}
	all := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.with[:len(c.with):len(c.with)], fields...) {
		f.AddTo(all)
	}
	attrs := make([]slog.Attr, 0, len(all.Fields))
	for name, value := range all.Fields {
		attrs = append(attrs, slog.Any(name, value))
	}
	c.to.LogAttrs(context.Background(), level(line.Level), "coordination: "+line.Message, attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (c *core) Sync() error { return nil }
