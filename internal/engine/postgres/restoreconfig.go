package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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

// configure gives data the configuration that its server had elsewhere: what is in the base's configFolder was in force,
// whatever lies in the data under the same name. What this host cannot honour is put into comments, with a reason: the
// server is to start.
func (f facts) configure() error {
	brought, err := f.bring()
	if err == nil {
		err = f.adaptBrought(brought)
	}
	if err == nil && !slices.Contains(brought, "postgresql.conf") {
		err = f.adaptOwn("postgresql.conf", brought, 0)
	}
	if err == nil {
		err = errors.Join(f.adaptOwn(autoConf, brought, 0), f.adaptRules("pg_hba.conf"), f.adaptRules("pg_ident.conf"), f.complete())
	}
	if err != nil {
		return fmt.Errorf("restore configuration: %w", err)
	}
	return os.RemoveAll(f.path(configFolder))
}

// bring copies what the base's configFolder holds, files with a whole path to a folder of their own, and returns their
// names in the data.
func (f facts) bring() (brought []string, err error) {
	kept := f.path(configFolder)
	err = filepath.WalkDir(kept, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(kept, p)
		if err != nil {
			return err
		}
		_, isMain := defaultConfig[name]
		if rest, ok := strings.CutPrefix(name, "other"+string(filepath.Separator)); ok {
			name = filepath.Join(otherConfig, rest)
		}
		if _, err := os.Lstat(f.path(name)); err == nil && !isMain {
			return nil
		}
		text, err := os.ReadFile(p)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(f.path(name)), 0o700)
		}
		if err == nil {
			brought, err = append(brought, name), os.WriteFile(f.path(name), text, 0o600)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return brought, err
}

// complete writes the files that no server starts without.
func (f facts) complete() error {
	for name, text := range defaultConfig {
		if _, err := os.Lstat(f.path(name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// adaptBrought adapts files that were written for another place.
func (f facts) adaptBrought(brought []string) error {
	for _, name := range brought {
		if filepath.Ext(name) != ".conf" || name == "pg_hba.conf" || name == "pg_ident.conf" {
			continue
		}
		if err := f.rewrite(name, func(text string) string { return f.adapt(text, filepath.Dir(name), f.refuses) }); err != nil {
			return err
		}
	}
	return nil
}

// adaptOwn adapts a file that lay in the data, with those there that it includes, to that other files were brought in: all
// else in it is as it was. One that is not there needs nothing.
func (f facts) adaptOwn(name string, brought []string, depth int) error {
	if slices.Contains(brought, name) || depth > maxIncludes {
		return nil
	}
	at := filepath.Dir(name)
	var text string
	err := f.rewrite(name, func(was string) string {
		text = f.adapt(was, at, f.refusesPlace)
		return text
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, i := range settingIncludes(text) {
		if err != nil {
			return err
		}
		files := []string{f.path(filepath.Join(at, i.path))}
		if i.folder {
			files, _ = filepath.Glob(filepath.Join(files[0], "*.conf"))
		}
		for _, file := range files {
			if rel, relErr := filepath.Rel(f.dir, file); relErr == nil && filepath.IsLocal(rel) && !filepath.IsAbs(i.path) {
				err = errors.Join(err, f.adaptOwn(rel, brought, depth+1))
			}
		}
	}
	return err
}

// adaptRules lets rules of access find the files that they name.
func (f facts) adaptRules(name string) error {
	err := f.rewrite(name, func(text string) string {
		for _, i := range ruleIncludes(text) {
			if !filepath.IsAbs(i.path) && there(f.path(i.path)) {
				continue
			}
			if as := f.broughtAs(i.path); as != "" {
				named := regexp.MustCompile(`(?m)(@"?|^\s*include\w*\s+"?)` + regexp.QuoteMeta(i.path) + `("?(?:[\s,]|$))`)
				text = named.ReplaceAllString(text, "${1}"+strings.ReplaceAll(filepath.ToSlash(as), "$", "$$")+"${2}")
			}
		}
		return text
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// rewrite changes a file, if there is anything to change.
func (f facts) rewrite(name string, change func(string) string) error {
	was, err := os.ReadFile(f.path(name))
	if err != nil {
		return err
	}
	if text := change(string(was)); text != string(was) {
		return os.WriteFile(f.path(name), []byte(text), 0o600)
	}
	return nil
}

// broughtAs is where a file or folder that was included lies in the data, "" if it was not brought. By a relative name it is
// found by how its path ends, if that is the only one.
func (f facts) broughtAs(value string) string {
	kept, whole := f.path(configFolder), f.path(configFolder+"/other")
	end := filepath.FromSlash(strings.TrimLeft(filepath.ToSlash(filepath.Clean(value)), "./"))
	if filepath.IsAbs(value) {
		if there(filepath.Join(whole, value)) {
			return filepath.Join(otherConfig, value)
		}
		for ok := true; ok; _, end, ok = strings.Cut(end, string(filepath.Separator)) {
			if _, isMain := defaultConfig[end]; !isMain && end != "" && there(filepath.Join(kept, end)) {
				return end // a base of before names what lies beside postgresql.conf so
			}
		}
		return ""
	}
	var all []string
	_ = filepath.WalkDir(whole, func(p string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, string(filepath.Separator)+end) {
			all = append(all, strings.TrimPrefix(p, whole))
		}
		return nil
	})
	if len(all) != 1 {
		return ""
	}
	return filepath.Join(otherConfig, all[0])
}

// objection says why a setting in a file of a folder of the data cannot hold here, "" if it can, and what to set in its place,
// "" for nothing.
type objection func(key, value, at string) (reason, instead string)

// adapt puts settings that cannot hold here into comments and says at the end why.
func (f facts) adapt(text, at string, refuses objection) string {
	var out, notes strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		key, value, ok := setting(line)
		reason, instead := "", ""
		if ok {
			reason, instead = refuses(key, value, at)
		}
		if reason == "" {
			out.WriteString(line)
			continue
		}
		out.WriteString("# " + line)
		fmt.Fprintf(&notes, "#   line %d, %s: %s\n", n, key, reason)
		switch {
		case instead == "":
		case strings.HasPrefix(key, "include"): // what follows it goes before what it names
			if !strings.HasSuffix(line, "\n") {
				out.WriteString("\n")
			}
			out.WriteString(instead + "\n")
		default:
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

// refusesPlace is about what says where configuration lies.
func (f facts) refusesPlace(key, value, at string) (reason, instead string) {
	switch key {
	case "data_directory", "config_file":
		return inDataNow, ""
	case "hba_file", "ident_file":
		if filepath.IsAbs(value) || there(f.path(configFolder+"/pg_"+strings.TrimSuffix(key, "_file")+".conf")) {
			return inDataNow, ""
		}
	case "include", "include_if_exists", "include_dir":
		here := filepath.Join(at, value)
		if !filepath.IsAbs(value) && filepath.IsLocal(here) && there(f.path(here)) {
			return "", ""
		}
		if as := f.broughtAs(value); as != "" {
			if rel, err := filepath.Rel(at, as); err == nil {
				return "what it names was brought along", fmt.Sprintf("%s = '%s'", key, strings.ReplaceAll(filepath.ToSlash(rel), "'", "''"))
			}
		}
		if key != "include_if_exists" && !(filepath.IsAbs(value) && there(value)) {
			return value + " is neither in the base nor on this host", ""
		}
	}
	return "", ""
}

const inDataNow = "all of it is in the data directory now"

// refuses is about all settings.
func (f facts) refuses(key, value, at string) (reason, instead string) {
	switch key {
	case "external_pid_file":
		return "it belongs to the former server", ""
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
	default:
		return f.refusesPlace(key, value, at)
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
