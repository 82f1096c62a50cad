package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/watch"
)

// book keeps what a watch remembers, in a folder: a file for each value, and one line for each beginning and end of a run.
type book struct {
	dir string
	mu  sync.Mutex
}

const (
	runsFile = "runs.jsonl"
	runsKept = 5000 // lines; twice as many are cut to so many
)

func (b *book) path(key string) string { return filepath.Join(b.dir, url.PathEscape(key)+".json") }

// Value implements watch.Book.
func (b *book) Value(_ context.Context, key string) ([]byte, error) {
	data, err := os.ReadFile(b.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is remembered: %w", err)
	}
	if !json.Valid(data) { // what a broken disk left is as good as nothing, and is made anew
		return nil, nil
	}
	return data, nil
}

// SetValue implements watch.Book.
func (b *book) SetValue(_ context.Context, key string, value []byte) error {
	return atomicfile.Write(b.path(key), value, 0o600)
}

// AddRun implements watch.Book.
func (b *book) AddRun(_ context.Context, r watch.Run) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write run down: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(b.dir, runsFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write run down: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write run down: %w", err)
	}
	return b.trim()
}

// trim cuts the file of runs when it has grown to twice what is kept.
func (b *book) trim() error {
	data, err := os.ReadFile(filepath.Join(b.dir, runsFile))
	if err != nil || bytes.Count(data, []byte{'\n'}) < 2*runsKept {
		return err
	}
	lines := bytes.SplitAfter(data, []byte{'\n'})
	return atomicfile.Write(filepath.Join(b.dir, runsFile), bytes.Join(lines[len(lines)-runsKept:], nil), 0o600)
}

// runs lists the newest runs, the newest first; of source alone unless that is "".
func (b *book) runs(source string, last int) ([]watch.Run, error) {
	f, err := os.Open(filepath.Join(b.dir, runsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	defer f.Close()
	byID, order := map[string]watch.Run{}, []string{}
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var r watch.Run
		if json.Unmarshal(in.Bytes(), &r) != nil || source != "" && r.Source != source {
			continue // a crash may have cut the last line
		}
		if _, ok := byID[r.ID]; !ok {
			order = append(order, r.ID)
		}
		byID[r.ID] = r
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	order = order[max(0, len(order)-last):]
	slices.Reverse(order)
	all := make([]watch.Run, 0, len(order))
	for _, id := range order {
		all = append(all, byID[id])
	}
	return all, nil
}
