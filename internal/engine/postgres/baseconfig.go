package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
)

// configFolder is where a base holds configuration that a server on the restored data would not find, as it does not lie
// in the data directory (Debian's way) or is named by its whole path: postgresql.conf, pg_hba.conf and pg_ident.conf,
// whatever they are called at the server, and what they include by its name relative to postgresql.conf, or below "other"
// by its whole path.
const configFolder = "backstay_config"

// maxConfigFile is how large a file of configuration may be, in bytes; maxConfigFiles is how many there may be.
const (
	maxConfigFile  = 4 << 20
	maxConfigFiles = 500
)

// configFile is one file of configuration.
type configFile struct {
	name string // in the base
	data []byte
}

// configReader reads files of the server's host, by their path there. Errors of a file that is not there are
// fs.ErrNotExist.
type configReader interface {
	read(ctx context.Context, path string) ([]byte, error)
	list(ctx context.Context, folder string) ([]string, error)
}

// configPlaces are where the server has its configuration.
type configPlaces struct {
	dataDir, config, hba, ident string
}

// askConfigPlaces asks the server. A role that may not know gets an error for which mayNot is true.
func askConfigPlaces(ctx context.Context, conn *pgconn.PgConn) (p configPlaces, err error) {
	row, err := queryRow(ctx, conn, `SELECT current_setting('data_directory'), current_setting('config_file'),
		current_setting('hba_file'), current_setting('ident_file')`)
	if err != nil {
		return p, fmt.Errorf("ask where the configuration is: %w", err)
	}
	return configPlaces{row[0], row[1], row[2], row[3]}, nil
}

// mayNot reports whether err says that the role lacks a right.
func mayNot(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "42501" || errors.Is(err, fs.ErrPermission)
}

// outside reports whether any of the files does not lie in the data directory.
func (p configPlaces) outside() bool {
	return !p.inside(p.config) || !p.inside(p.hba) || !p.inside(p.ident)
}

func (p configPlaces) inside(file string) bool {
	rel, err := filepath.Rel(p.dataDir, file)
	return err == nil && filepath.IsLocal(rel)
}

// configCollector follows includes.
type configCollector struct {
	in     configReader
	places configPlaces
	files  []configFile
	seen   map[string]bool
}

// collectConfig reads the files and what they include, and keeps those that configFolder is for.
func collectConfig(ctx context.Context, in configReader, p configPlaces) ([]configFile, error) {
	c := configCollector{in: in, places: p, seen: map[string]bool{}}
	for _, f := range []struct {
		path, name string
		includes   func(string) []include
	}{{p.config, "postgresql.conf", settingIncludes}, {p.hba, "pg_hba.conf", ruleIncludes}, {p.ident, "pg_ident.conf", ruleIncludes}} {
		known := f.path == filepath.Join(p.dataDir, f.name)
		if err := c.file(ctx, collected{path: f.path, name: f.name, keep: !known}, f.includes); err != nil {
			return c.files, err
		}
	}
	return c.files, nil
}

// collected is a file that belongs to the configuration.
type collected struct {
	path    string
	name    string // in the base, below configFolder
	keep    bool   // it is stored there
	whole   bool   // it is stored by its whole path, and so is what it includes
	mayMiss bool
}

// file reads one file and what it includes.
func (c *configCollector) file(ctx context.Context, f collected, includes func(string) []include) error {
	if c.seen[f.path] {
		return nil
	}
	c.seen[f.path] = true
	data, err := c.in.read(ctx, f.path)
	if errors.Is(err, fs.ErrNotExist) && f.mayMiss {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if len(c.seen) > maxConfigFiles {
		return fmt.Errorf("read configuration: more than %d files", maxConfigFiles)
	}
	if f.keep {
		c.files = append(c.files, configFile{name: path.Join(configFolder, f.name), data: data})
	}
	for _, i := range includes(string(data)) {
		if err := c.include(ctx, f, i, includes); err != nil {
			return err
		}
	}
	return nil
}

func (c *configCollector) include(ctx context.Context, by collected, i include, includes func(string) []include) error {
	where, whole := i.path, by.whole
	if filepath.IsAbs(where) {
		whole = true
	} else {
		where = filepath.Join(filepath.Dir(by.path), where)
	}
	if !i.folder {
		return c.file(ctx, c.included(where, whole), includes)
	}
	names, err := c.in.list(ctx, where)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	slices.Sort(names)
	for _, n := range names {
		if strings.HasPrefix(n, ".") || !strings.HasSuffix(n, ".conf") {
			continue
		}
		if err := c.file(ctx, c.included(filepath.Join(where, n), whole), includes); err != nil {
			return err
		}
	}
	return nil
}

// included is what an included file is in the base.
func (c *configCollector) included(file string, whole bool) collected {
	f := collected{path: file, keep: whole || !c.places.inside(file), whole: whole, mayMiss: true}
	rel, err := filepath.Rel(filepath.Dir(c.places.config), file)
	if f.name = filepath.ToSlash(rel); whole || err != nil || !filepath.IsLocal(rel) {
		f.name = path.Join("other", filepath.ToSlash(filepath.Clean(file)))
	}
	return f
}

// include is a file, or a folder of files, that a file of configuration names.
type include struct {
	path   string
	folder bool
}

// settingIncludes finds the includes in a postgresql.conf.
func settingIncludes(text string) (list []include) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		end := strings.IndexAny(line, " \t='")
		if end < 0 {
			continue
		}
		key := strings.ToLower(line[:end])
		value := settingValue(strings.TrimLeft(line[end:], " \t="))
		switch {
		case value == "":
		case key == "include", key == "include_if_exists":
			list = append(list, include{path: value})
		case key == "include_dir":
			list = append(list, include{path: value, folder: true})
		}
	}
	return list
}

// settingValue reads a value as the server does: quoted with ” or \' for a quote, or one word.
func settingValue(s string) string {
	if !strings.HasPrefix(s, "'") {
		word, _, _ := strings.Cut(s, "#")
		fields := strings.Fields(word)
		if len(fields) == 0 {
			return ""
		}
		return fields[0]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'', s[i] == '\\' && i+1 < len(s):
			i++
		case s[i] == '\'':
			return b.String()
		}
		b.WriteByte(s[i])
	}
	return ""
}

// ruleIncludes finds the includes in a pg_hba.conf or pg_ident.conf: lines of their own from 16 on, and @file among
// databases and roles always.
func ruleIncludes(text string) (list []include) {
	add := func(name string, folder bool) {
		if name = strings.Trim(name, `"`); name != "" {
			list = append(list, include{path: name, folder: folder})
		}
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 2 && strings.HasPrefix(fields[0], "include") {
			add(fields[1], fields[0] == "include_dir")
			continue
		}
		for _, f := range fields[min(1, len(fields)):] {
			for _, word := range strings.Split(f, ",") {
				if file, ok := strings.CutPrefix(word, "@"); ok {
					add(file, false)
				}
			}
		}
	}
	return list
}

// hostConfig reads files of this host.
type hostConfig struct{}

func (hostConfig) read(_ context.Context, file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfigFile {
		return nil, fmt.Errorf("%s is no file of configuration: %s of %d bytes", file, info.Mode().Type(), info.Size())
	}
	return os.ReadFile(file)
}

func (hostConfig) list(_ context.Context, folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// serverConfig has the server read its files, which takes rights of its own (pg_read_server_files).
type serverConfig struct{ conn *pgconn.PgConn }

func (c serverConfig) read(ctx context.Context, file string) ([]byte, error) {
	row, err := queryRow(ctx, c.conn, "SELECT encode(pg_read_binary_file($1, 0, $2::bigint, false), 'hex')", file, fmt.Sprint(maxConfigFile))
	if err != nil {
		return nil, notThere(err)
	}
	return hex.DecodeString(row[0])
}

func (c serverConfig) list(ctx context.Context, folder string) ([]string, error) {
	rows, err := queryRows(ctx, c.conn, "SELECT pg_ls_dir($1)", folder)
	var names []string
	for _, r := range rows {
		names = append(names, r[0])
	}
	return names, notThere(err)
}

// notThere makes the server's "undefined file" an fs.ErrNotExist.
func notThere(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "58P01" {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// readConfig reads the configuration that configFolder is for. A role that may not read it is no error: missing then says
// what is not in the base.
func readConfig(ctx context.Context, conn *pgconn.PgConn, onHost bool) (files []configFile, missing string, err error) {
	p, err := askConfigPlaces(ctx, conn)
	if mayNot(err) {
		return nil, "the role may not see where the server's configuration lies: if it is not in the data directory, it is not in the base; " + lookRights(conn), nil
	}
	if err != nil {
		return nil, "", err
	}
	if onHost {
		if files, err = collectConfig(ctx, hostConfig{}, p); err == nil {
			return files, "", nil
		}
	}
	files, err = collectConfig(ctx, serverConfig{conn}, p)
	switch {
	case err == nil:
		return files, "", nil
	case ctx.Err() != nil || conn.IsClosed():
		return nil, "", err
	}
	if mayNot(err) && !p.outside() {
		if includes, asked := settingsOutside(ctx, conn, p); asked != nil || !includes {
			return files, "", asked
		}
	}
	missing = "configuration outside the data directory is not in the base: " + err.Error()
	if mayNot(err) {
		missing += "; " + lookRights(conn)
	}
	return files, missing, nil
}

// lookRights are the statements that give the role of conn the right to read the server's configuration.
func lookRights(conn *pgconn.PgConn) string {
	role := quoteIdentifier(conn.ParameterStatus("session_authorization"))
	return fmt.Sprintf("to have it kept: GRANT pg_read_all_settings, pg_read_server_files TO %s; GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean), pg_ls_dir(text) TO %s;", role, role)
}

// settingsOutside reports whether a setting that counts comes from a file outside the data directory.
func settingsOutside(ctx context.Context, conn *pgconn.PgConn, p configPlaces) (bool, error) {
	rows, err := queryRows(ctx, conn, "SELECT DISTINCT sourcefile FROM pg_catalog.pg_settings WHERE sourcefile IS NOT NULL")
	if err != nil {
		return false, fmt.Errorf("ask where settings come from: %w", err)
	}
	return slices.ContainsFunc(rows, func(row []string) bool { return !p.inside(row[0]) }), nil
}

// putConfig stores it in sink. stored is called for each file.
func putConfig(ctx context.Context, sink engine.BaseSink, files []configFile, modTime time.Time, stored func(datadir.ManifestFile)) error {
	folders := map[string]bool{}
	for _, f := range files {
		if err := putParents(ctx, sink, path.Dir(f.name), modTime, folders); err != nil {
			return err
		}
		if err := putBytes(ctx, sink, f.name, f.data, modTime); err != nil {
			return err
		}
		stored(manifestFile(f.name, int64(len(f.data)), modTime, datadir.CRC32C(f.data)))
	}
	return nil
}

func putParents(ctx context.Context, sink engine.BaseSink, folder string, modTime time.Time, known map[string]bool) error {
	if folder == "." || known[folder] {
		return nil
	}
	if err := putParents(ctx, sink, path.Dir(folder), modTime, known); err != nil {
		return err
	}
	known[folder] = true
	return sink.Put(ctx, engine.File{Name: folder, Mode: fs.ModeDir | 0o700, ModTime: modTime}, nil)
}
