package postgres

import (
	"testing"
	"testing/fstest"
)

func TestMemory(t *testing.T) {
	const host = "MemTotal:       16384000 kB\nMemFree: 1 kB\n"
	for name, c := range map[string]struct {
		files   map[string]string
		want    int64
		buffers string
	}{
		"nothing is told":     {buffers: "64MB"},
		"a host":              {files: map[string]string{"proc/meminfo": host}, want: 16384000 << 10, buffers: "1024MB"},
		"no limit":            {files: map[string]string{"proc/meminfo": host, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, want: 16384000 << 10, buffers: "1024MB"},
		"a limit":             {files: map[string]string{"proc/meminfo": host, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "2147483648\n"}, want: 2 << 30, buffers: "256MB"},
		"a limit above":       {files: map[string]string{"proc/meminfo": host, "proc/self/cgroup": "0::/a/b/c\n", "sys/fs/cgroup/a/memory.max": "1073741824\n", "sys/fs/cgroup/a/b/c/memory.max": "max\n"}, want: 1 << 30, buffers: "128MB"},
		"a container":         {files: map[string]string{"proc/meminfo": host, "proc/self/cgroup": "0::/../outside\n", "sys/fs/cgroup/memory.max": "268435456\n"}, want: 256 << 20, buffers: "64MB"},
		"version 1":           {files: map[string]string{"proc/meminfo": host, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "4294967296\n"}, want: 4 << 30, buffers: "512MB"},
		"version 1, no limit": {files: map[string]string{"proc/meminfo": host, "proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, want: 16384000 << 10, buffers: "1024MB"},
		"garbage":             {files: map[string]string{"proc/meminfo": "MemTotal: much kB\n", "proc/self/cgroup": ":\nx"}, buffers: "64MB"},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := memoryIn(root); got != c.want || replayBuffers(got) != c.buffers {
				t.Errorf("%d bytes, %s; want %d, %s", got, replayBuffers(got), c.want, c.buffers)
			}
		})
	}
}
