package datadir

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Damage collects pages whose checksum is wrong. The zero value is ready for use, from several goroutines.
type Damage struct {
	mu     sync.Mutex
	pages  int64
	blocks map[string][]uint32 // by file, as many as are named
	more   map[string]int64
}

// namedBlocks is how many blocks of one file are named.
const namedBlocks = 100

// Add notes one page: a block of the relation that the file belongs to.
func (d *Damage) Add(file string, block uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.blocks == nil {
		d.blocks, d.more = map[string][]uint32{}, map[string]int64{}
	}
	known := d.blocks[file]
	if slices.Contains(known, block) {
		return // it was read twice
	}
	d.pages++
	if len(known) >= namedBlocks {
		d.more[file]++
		return
	}
	d.blocks[file] = append(known, block)
}

// Pages is how many there are.
func (d *Damage) Pages() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pages
}

// Lines says what is damaged, a line for each file: "base/5/16384: wrong checksum in block 3, 7-9".
func (d *Damage) Lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	for _, file := range slices.Sorted(maps.Keys(d.blocks)) {
		line := fmt.Sprintf("%s: wrong page checksum in block %s", file, ranges(d.blocks[file]))
		if n := d.more[file]; n > 0 {
			line += fmt.Sprintf(" and %d more", n)
		}
		lines = append(lines, line)
	}
	return lines
}

// ranges prints numbers as "3, 7-9".
func ranges(blocks []uint32) string {
	sorted := slices.Sorted(slices.Values(blocks))
	var parts []string
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(sorted[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", sorted[i], sorted[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}
