//go:build unix

package sqlite

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkTable sums up 256 MB in the page cache, as a look at a database in rollback-journal mode does under the shared lock.
func BenchmarkTable(b *testing.B) {
	const pages = 256 << 20 / 4096
	f, err := os.Create(filepath.Join(b.TempDir(), "app.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * i >> 8)
	}
	for range 256 {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(256 << 20)
	cpu := cpuTime()
	for b.Loop() {
		if _, err := tableOf(b.Context(), f, 4096, pages); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpuTime()-cpu).Seconds()/float64(b.N)*4, "cpu-s/GB")
}
