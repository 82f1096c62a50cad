package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// From 15 on an extension may write records of its own kind into the log, under the number of a resource manager that its
// library registers when it is preloaded. A private server preloads nothing, as libraries have hooks and workers of
// their own and may not be here. Only where the log cannot be replayed otherwise it gets those of the source's that are
// here, with no room for workers.

// preload is what the source's configuration preloads.
type preload struct {
	libraries []string // as they are written there
	missing   []string // of these, those that are not installed here
	known     bool     // there is a configuration that could say so
	commented bool     // the restored configuration has the line as a comment; see adapt
}

func (p preload) here() []string {
	return slices.DeleteFunc(slices.Clone(p.libraries), func(name string) bool { return slices.Contains(p.missing, name) })
}

// note tells the person who restores what is missing, "" for nothing.
func (p preload) note() string {
	if len(p.missing) == 0 {
		return ""
	}
	what := fmt.Sprintf("the source preloads %s, not installed on this host: ", strings.Join(p.missing, ", "))
	if p.commented {
		return what + "shared_preload_libraries is a comment in the restored postgresql.conf"
	}
	return what + "install it before you start the server, or take it out of shared_preload_libraries"
}

// readPreload reads shared_preload_libraries: what ALTER SYSTEM wrote, else the last that postgresql.conf says.
func (f facts) readPreload() preload {
	c := configText{whole: f.path(configFolder + "/other")}
	top, brought := f.path(configFolder+"/postgresql.conf"), true
	if !there(top) {
		top, brought = f.path("postgresql.conf"), false
	}
	p := preload{known: there(top), commented: brought}
	value, _ := c.last(top, "shared_preload_libraries", 0)
	if set, ok := c.last(f.path(autoConf), "shared_preload_libraries", 0); ok {
		value, p.known, p.commented = set, true, false
	}
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.Trim(strings.TrimSpace(name), `"`); name != "" {
			p.libraries = append(p.libraries, name)
		}
	}
	for _, name := range p.libraries {
		if len(f.missingLibraries(name)) > 0 {
			p.missing = append(p.missing, name)
		}
	}
	return p
}

// configText is configuration as it was laid with a base.
type configText struct{ whole string } // where files lie that are included by their whole path

// maxIncludes is how deep files may include each other (CONF_FILE_MAX_DEPTH in conffiles.h).
const maxIncludes = 10

// last is what a file, with those that it includes, says of a setting last. Files that are not there say nothing.
func (c configText) last(path, key string, depth int) (value string, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil || depth > maxIncludes {
		return "", false
	}
	for line := range strings.Lines(string(text)) {
		name, said, set := setting(line)
		if !set {
			continue
		}
		if name == key {
			value, ok = said, true
			continue
		}
		for _, file := range c.included(path, name, said) {
			if v, found := c.last(file, key, depth+1); found {
				value, ok = v, true
			}
		}
	}
	return value, ok
}

// included are the files that a line of a file includes, where they were laid.
func (c configText) included(from, key, value string) []string {
	path := filepath.Join(filepath.Dir(from), value)
	if filepath.IsAbs(value) {
		path = filepath.Join(c.whole, value)
	}
	switch key {
	case "include", "include_if_exists":
		return []string{path}
	case "include_dir":
		files, _ := filepath.Glob(filepath.Join(path, "*.conf")) // in the order of their names, as the server reads them
		return files
	}
	return nil
}

// ManagerError says that the log holds records of an extension for which no library is at hand.
type ManagerError struct {
	Number  string // of the resource manager
	preload preload
}

func (e *ManagerError) Error() string {
	s := fmt.Sprintf("the log holds records of an extension, resource manager %s, that the server cannot replay without its library", e.Number)
	switch {
	case len(e.preload.missing) > 0:
		return s + "; the source preloads " + strings.Join(e.preload.libraries, ", ") + "; not installed on this host: " + strings.Join(e.preload.missing, ", ")
	case len(e.preload.libraries) > 0:
		return s + "; those that the source preloaded when the base was taken (" + strings.Join(e.preload.libraries, ", ") + ") do not bring it"
	case e.preload.known:
		return s + "; when the base was taken the source preloaded none"
	}
	return s + "; the base holds no configuration that would name it"
}

// Hint says what helps.
func (e *ManagerError) Hint() string {
	if len(e.preload.missing) > 0 {
		return "install " + strings.Join(e.preload.missing, ", ") + " for PostgreSQL on this host, as at the source, and restore again"
	}
	return "restore from a base that was taken with shared_preload_libraries set, or to a position before the extension was used"
}

// Damaged says that the backup is good.
func (e *ManagerError) Damaged() bool { return false }

var managerMessage = regexp.MustCompile(`resource manager with ID (\d+) not registered`)

// unknownManager finds the resource manager for which a server gave up, "" if that was not why.
func unknownManager(err error) string {
	e, ok := errors.AsType[*server.ExitError](err)
	if !ok {
		return ""
	}
	if m := managerMessage.FindStringSubmatch(e.Reason); m != nil {
		return m[1]
	}
	return ""
}
