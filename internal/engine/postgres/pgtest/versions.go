package pgtest

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// Default is the version that tests use where the version does not matter: the one of Debian's packages.
const Default = 15

// Supported are the major versions that Backstay knows.
var Supported = []int{12, 13, 14, 15, 16, 17, 18}

// Versions are those to run a test with: those installed here, of which there is at least the default one, else the test
// is skipped. With -short it is the default alone. Where BACKSTAY_NEED_SERVERS is set, a missing one fails the test.
func Versions(t testing.TB) []int {
	t.Helper()
	if testing.Short() {
		Programs(t, Default)
		return []int{Default}
	}
	var found []int
	for _, v := range Supported {
		if _, err := find(v); err == nil {
			found = append(found, v)
		} else if v == Default || needed() {
			missing(t, err)
		}
	}
	return found
}

// Programs are those of one version. A test that misses them is skipped, or failed where BACKSTAY_NEED_SERVERS is set.
func Programs(t testing.TB, version int) server.Programs {
	t.Helper()
	p, err := find(version)
	if err != nil {
		missing(t, err)
	}
	return p
}

func needed() bool { return os.Getenv("BACKSTAY_NEED_SERVERS") != "" }

func missing(t testing.TB, err error) {
	t.Helper()
	if needed() {
		t.Fatalf("%v; make packages servers brings what the tests need", err)
	}
	t.Skip(err)
}

var found sync.Map // version → func() (server.Programs, error)

func find(version int) (server.Programs, error) {
	announce()
	f, _ := found.LoadOrStore(version, sync.OnceValues(func() (server.Programs, error) { return server.Find(version) }))
	return f.(func() (server.Programs, error))()
}

// announce adds the servers that "make servers" unpacked to the variable that says where programs are, so that the
// processes that a test starts find them too.
var announce = sync.OnceFunc(func() {
	dirs := filepath.SplitList(os.Getenv(server.BinVariable))
	cache := filepath.Join(root(), ".cache", "postgres")
	if real, err := filepath.EvalSymlinks(cache); err == nil {
		cache = real // the servers' user may not be able to enter this folder
	}
	for _, v := range Supported {
		dir := filepath.Join(cache, strconv.Itoa(v), "bin")
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if err := os.Setenv(server.BinVariable, strings.Join(dirs, string(filepath.ListSeparator))); err != nil {
		panic(err) // only a name with = or a zero byte fails
	}
})

// root is the folder of the module that the test belongs to.
func root() string {
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d
		}
	}
	return dir
}
