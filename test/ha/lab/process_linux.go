package lab

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// inNamespace are the processes whose network is the namespace of that name. Threads of this process that are there for a
// moment don't count: /proc shows the network of the first thread.
func inNamespace(name string) (all []int) {
	want, err := os.Stat("/run/netns/" + name)
	if err != nil {
		return nil
	}
	id := want.Sys().(*syscall.Stat_t)
	found, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil {
			continue // it has ended
		}
		if st := info.Sys().(*syscall.Stat_t); st.Ino != id.Ino || st.Dev != id.Dev {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))); err == nil && pid != os.Getpid() {
			all = append(all, pid)
		}
	}
	return all
}
