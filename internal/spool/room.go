package spool

import (
	"errors"
	"os"
	"path/filepath"
)

const (
	probeName = "probe.tmp"
	probeMost = 16 << 20
)

// Room reports, as an error or nil, whether the disk takes n bytes now: it writes and deletes them, 16 MiB at most.
func (s *Spool) Room(n int64) error {
	path := filepath.Join(s.dir, probeName)
	f, err := os.Create(path)
	if err != nil {
		return &WriteError{Op: "look for room", Need: n, Err: err}
	}
	block := make([]byte, 64<<10)
	for at, end := int64(0), min(n, probeMost); at < end && err == nil; at += int64(len(block)) {
		err = s.writeAt(f, block[:min(int64(len(block)), end-at)], at)
	}
	if err == nil {
		err = s.sync(f)
	}
	if err = errors.Join(err, f.Close(), os.Remove(path)); err != nil {
		return &WriteError{Op: "look for room", Need: n, Err: err}
	}
	return nil
}
