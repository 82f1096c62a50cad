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

// Zeros are written behind what was appended, so much at a time, in bytes.
const (
	zerosLeast = 64 << 10
	zerosMost  = 1 << 20
)

var zeros [zerosMost]byte

// extend writes zeros behind the end of a journal that has no more room there: a sync of bytes that replace others is
// one of data alone, while each that makes the file longer has the file system write down its length and places too,
// which takes half as long again and holds up whoever else syncs on that disk. A journal at most doubles by it, so that
// one of few bytes stays short. Where the disk does not take them nothing is lost: the next append makes the file longer.
func (s *Spool) extend(j *journal, end int64) {
	if end <= j.room {
		return
	}
	n := min(end-j.body, s.rotate-end, zerosMost) / zerosLeast * zerosLeast
	if n > 0 && s.writeAt(j.f, zeros[:n], end) == nil {
		j.room = end + n
	}
}
