package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncAll makes durable what was written so far.
func syncAll() { unix.Sync() }

// forget takes a file out of the page cache. What is not durable stays there.
func forget(f *os.File) error { return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
