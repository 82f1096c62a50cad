// Command promises measures the daemon that keeps promises at the size of a large host: many sources that mostly rest, a catalog of
// many years, and a schedule of thousands of sources. It prints the goals beside the figures and judges nothing: it fails only
// where something does not work.
package main

import "github.com/backstaydb/backstay/test/bench/measure"

func main() {
	measure.Main("promises", []measure.Command{
		{Name: "sources", Does: "memory and processor of a daemon with 200 SQLite databases and 3 PostgreSQL servers that rest", Run: runSources},
		{Name: "catalog", Does: "status from a catalog with a million segments and 100,000 runs, and its rebuild", Run: runCatalog},
		{Name: "schedule", Does: "how late jobs of 2,000 sources begin", Run: runSchedule},
	})
}
