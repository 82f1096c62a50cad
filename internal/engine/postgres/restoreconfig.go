package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of configuration without which no server starts, with what they say where nothing is known: who may open
// the socket comes in as the role of its own name, and nobody else does.
var defaultConfig = map[string]string{
	"postgresql.conf": "# Backstay: the base holds no configuration, as it was taken over the network from a server that keeps it outside of its\n# data directory. Everything is at its default.\n",
	"pg_hba.conf":     "# Backstay: the base holds no access rules. Add those that your clients need.\nlocal all all peer\n",
	"pg_ident.conf":   "",
}

// otherConfig is where included files go that were known by a whole path.
const otherConfig = "conf.other"

// configure gives data that brought no configuration of its own the one that its server had elsewhere. What this host
// cannot honour is put into comments, with a reason: the server is to start.
func (f facts) configure() error {
	kept := f.path(configFolder)
	if err := f.copyIncluded(kept); err != nil {
		return fmt.Errorf("restore configuration: %w", err)
	}
	for name, text := range defaultConfig {
		if _, err := os.Lstat(f.path(name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		former, err := os.ReadFile(filepath.Join(kept, name))
		switch {
		case err == nil && name == "postgresql.conf":
			text = f.adapt(string(former))
		case err == nil:
			text = string(former)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("restore configuration: %w", err)
		}
		if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("restore configuration: %w", err)
		}
	}
	return os.RemoveAll(kept)
}

// copyIncluded copies the files that others include, those with a whole path to a folder of their own.
func (f facts) copyIncluded(kept string) error {
	err := filepath.WalkDir(kept, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(kept, p)
		if err != nil || defaultConfig[name] != "" || name == "pg_ident.conf" {
			return err
		}
		if rest, ok := strings.CutPrefix(name, "other"+string(filepath.Separator)); ok {
			name = filepath.Join(otherConfig, rest)
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if filepath.Ext(name) == ".conf" {
			text = []byte(f.adapt(string(text)))
		}
		if _, err := os.Lstat(f.path(name)); err == nil {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(f.path(name), text, 0o600)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// adapt puts settings that cannot hold here into comments and says at the end why.
func (f facts) adapt(text string) string {
	var out, notes strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		key, value, ok := setting(line)
		reason, instead := "", ""
		if ok {
			reason, instead = f.refuses(key, value)
		}
		if reason == "" {
			out.WriteString(line)
			continue
		}
		out.WriteString("# " + line)
		fmt.Fprintf(&notes, "#   line %d, %s: %s\n", n, key, reason)
		if instead != "" {
			notes.WriteString(instead + "\n")
		}
	}
	if notes.Len() == 0 {
		return out.String()
	}
	if !strings.HasSuffix(out.String(), "\n") {
		out.WriteString("\n")
	}
	return out.String() + "\n# Backstay restored this file and put into comments:\n" + notes.String()
}

// setting reads one line. ok is false for comments and empty lines.
func setting(line string) (key, value string, ok bool) {
	line = strings.TrimSpace(line)
	end := strings.IndexAny(line, " \t='")
	if end <= 0 || line[0] == '#' {
		return "", "", false
	}
	return strings.ToLower(line[:end]), settingValue(strings.TrimLeft(line[end:], " \t=")), true
}

// refuses says why a setting cannot hold here, "" if it can, and what to set in its place, "" for nothing.
func (f facts) refuses(key, value string) (reason, instead string) {
	switch key {
	case "data_directory", "hba_file", "ident_file", "config_file":
		return "all of it is in the data directory now", ""
	case "external_pid_file":
		return "it belongs to the former server", ""
	case "include", "include_if_exists", "include_dir":
		if filepath.IsAbs(value) {
			return "what it names was brought along", fmt.Sprintf("%s = '%s'", key, otherConfig+filepath.ToSlash(value))
		}
	case "ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file", "ssl_crl_dir", "ssl_dh_params_file",
		"stats_temp_directory", "krb_server_keyfile", "log_directory":
		if filepath.IsAbs(value) && !there(value) {
			if key == "ssl_cert_file" || key == "ssl_key_file" {
				instead = "ssl = off"
			}
			return value + " is not on this host", instead
		}
	case "unix_socket_directories":
		for dir := range strings.SplitSeq(value, ",") {
			if dir = strings.TrimSpace(dir); filepath.IsAbs(dir) && !there(dir) {
				return dir + " is not on this host", "unix_socket_directories = '/tmp'"
			}
		}
	case "shared_preload_libraries":
		if missing := f.missingLibraries(value); len(missing) > 0 {
			return "not installed here: " + strings.Join(missing, ", "), ""
		}
	}
	return "", ""
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// missingLibraries lists those that the installed server does not have. If its folder of libraries is not known, none
// is missing.
func (f facts) missingLibraries(value string) (missing []string) {
	folder := f.libraries()
	if folder == "" {
		return nil
	}
	for name := range strings.SplitSeq(value, ",") {
		name = strings.Trim(strings.TrimSpace(name), `"`)
		name = strings.TrimPrefix(strings.TrimPrefix(name, "$libdir/"), "plugins/")
		if name == "" || slices.ContainsFunc([]string{name, name + ".so", name + ".dylib", name + ".dll"}, func(file string) bool {
			return there(filepath.Join(folder, file)) || filepath.IsAbs(file) && there(file)
		}) {
			continue
		}
		missing = append(missing, name)
	}
	return missing
}

// libraries is the server's folder of libraries, "" if it is not found: plpgsql comes with every server.
func (f facts) libraries() string {
	lib := filepath.Join(filepath.Dir(f.programs.Dir), "lib")
	for _, dir := range []string{lib, filepath.Join(lib, "postgresql"), filepath.Join(filepath.Dir(f.programs.Dir), "lib64", "pgsql")} {
		if found, _ := filepath.Glob(filepath.Join(dir, "plpgsql.*")); len(found) > 0 {
			return dir
		}
	}
	return ""
}
