package postgres

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// A replay keeps pages in buffers while more and more records change them. What does not fit goes to the kernel, whose
// cache is as good a place, at the price of a call; docs/design/0004 has what was measured. Too many buffers cost too:
// each table that is dropped or truncated in the log makes the server look through all of them.
const (
	leastBuffers = 64 << 20
	mostBuffers  = 1 << 30
	shareOfAll   = 8 // of the memory that there is, one part
)

// replayBuffers is shared_buffers for a host with so many bytes of memory, 0 for one that does not tell.
func replayBuffers(memory int64) string {
	return fmt.Sprintf("%dMB", min(max(memory/shareOfAll, leastBuffers), mostBuffers)>>20)
}

// memoryIn is how much memory a process on Linux may use, bytes: what the host has, and what its control groups allow
// it; 0 if neither is told. root is the root of the file system.
func memoryIn(root fs.FS) int64 {
	limit := int64(math.MaxInt64)
	if n, ok := hostMemory(root); ok {
		limit = n
	}
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		text = nil
	}
	for line := range strings.Lines(string(text)) {
		// hierarchy:controllers:path; version 2 has no controllers (cgroups(7)).
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) < 3:
		case parts[1] == "":
			limit = min(limit, groupLimit(root, "sys/fs/cgroup", parts[2], "memory.max"))
		case parts[1] == "memory":
			limit = min(limit, groupLimit(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// groupLimit is the least that a group and those above it allow. In a container the path may be that outside of it, of
// which only the end can be seen, or nothing.
func groupLimit(root fs.FS, mount, group, file string) int64 {
	limit := int64(math.MaxInt64)
	for p := path.Clean("/" + group); ; p = path.Dir(p) {
		text, err := fs.ReadFile(root, path.Join(mount, p, file))
		if n, perr := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && perr == nil && n > 0 {
			limit = min(limit, n) // "max" is no number
		}
		if p == "/" {
			return limit
		}
	}
}

// hostMemory reads MemTotal.
func hostMemory(root fs.FS) (int64, bool) {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}
