package agent

import (
	"hash/fnv"
	"os"

	"golang.org/x/sys/unix"
)

// bootID tells this boot of the machine from others.
func bootID() (uint64, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0, err
	}
	h := fnv.New64a()
	_, _ = h.Write(b) // never fails
	return h.Sum64(), nil
}

// share maps size bytes of a file, which it makes where it is missing.
func share(path string, size int) (page []byte, free func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if err := f.Truncate(int64(size)); err != nil {
		return nil, nil, err
	}
	page, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return page, func() error { return unix.Munmap(page) }, nil
}
