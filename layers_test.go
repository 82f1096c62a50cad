package backstay_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// layers is the import order of the whole tree: a package may import only packages of lines above its own.
// A name with a slash and a star stands for all folders below it.
const layers = `
systemd
atomicfile backoff process directio disk freeport zstd killpoint secret trace
history
route
engine store schedule notify hook
pack
ledger
audit scratch lease proxy
repository retention policy authority
catalog
spool
archive recovery cluster
drill peer
agent api
metrics
config
watch
engine/postgres/server engine/postgres/wal
engine/postgres/datadir engine/postgres/replication
notify/post
engine/* store/* notify/* lease/* cluster/* proxy/*
app
cli
`

const module = "github.com/backstaydb/backstay/internal/"

func TestImportsFollowTheLayers(t *testing.T) {
	line := map[string]int{}
	for i, l := range strings.Split(strings.TrimSpace(layers), "\n") {
		for _, name := range strings.Fields(l) {
			line[name] = i
		}
	}
	layerOf := func(path string) (int, bool) {
		if i, ok := line[path]; ok {
			return i, true
		}
		first, _, nested := strings.Cut(path, "/")
		i, ok := line[first+"/*"]
		return i, ok && nested
	}
	checked := 0
	err := filepath.WalkDir("internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		own := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "internal/")
		mine, ok := layerOf(own)
		if !ok {
			t.Errorf("package %s has no place in the layers", own)
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			name, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			checked++
			if theirs, ok := layerOf(name); !ok || theirs >= mine && !strings.HasPrefix(name, own+"/") && !strings.HasPrefix(own, name+"/") {
				t.Errorf("%s (layer %d) imports %s, which does not stand above it", path, mine, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked == 0 {
		t.Fatal("no import was checked")
	}
}
