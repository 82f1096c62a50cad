package datadir

import (
	"path"
	"strings"
)

// emptied are the folders whose content a server makes anew when it starts; the folders themselves must be there
// (server file src/backend/backup/basebackup.c, excludeDirContents).
var emptied = map[string]bool{
	"pg_dynshmem": true, "pg_notify": true, "pg_replslot": true, "pg_serial": true, "pg_snapshots": true,
	"pg_stat_tmp": true, "pg_subtrans": true,
	"pg_wal": true, // the log is kept as log
}

// left are files in the data directory itself that belong to a running server, to another base, or to whoever
// restores.
var left = map[string]bool{
	"postmaster.pid": true, "postmaster.opts": true, "postgresql.auto.conf.tmp": true, "current_logfiles.tmp": true,
	"backup_label": true, "tablespace_map": true, "backup_manifest": true,
	"backup_label.old": true, "tablespace_map.old": true, "backup_manifest.tmp": true,
	"standby.signal": true, "recovery.signal": true, "recovery.done": true, "promote": true,
}

// WALFolders are the folders that must be there, empty, for a server of that major version to start.
func WALFolders(major int) []string {
	folders := []string{"pg_wal", "pg_wal/archive_status"}
	if major >= 17 {
		folders = append(folders, "pg_wal/summaries")
	}
	return folders
}

// KeepsFolder reports whether the base has the content of the folder. The folder itself it has if HasFolder.
func KeepsFolder(name string) bool { return !emptied[name] && HasFolder(name) }

// HasFolder reports whether a base has the folder.
func HasFolder(name string) bool {
	base := path.Base(name)
	if strings.HasPrefix(base, "pgsql_tmp") {
		return false
	}
	// In a tablespace lie folders of other servers and versions beside ours.
	parts := strings.Split(name, "/")
	if parts[0] == "pg_tblspc" && len(parts) >= 2 {
		_, ok := parseNumber(parts[1])
		return ok && (len(parts) < 3 || strings.HasPrefix(parts[2], "PG_"))
	}
	return true
}

// KeepsFile reports whether a file belongs to a base, as far as its own name tells: whether a relation is unlogged
// only its folder knows. pg_control belongs to it.
func KeepsFile(name string) bool {
	folder, base := path.Split(name)
	switch {
	case folder == "" && (left[base] || strings.HasSuffix(base, ".pid")):
		return false
	case strings.HasPrefix(base, "pgsql_tmp"), strings.HasPrefix(base, "pg_internal.init"):
		return false
	}
	r, ok := RelationOf(name)
	return !ok || !r.Temp
}

// Unlogged are the numbers of relations that a folder holds without logging them.
type Unlogged map[uint32]bool

// UnloggedIn finds the unlogged relations among the names in one folder of relations: those with an init fork.
func UnloggedIn(names []string) Unlogged {
	var u Unlogged
	for _, n := range names {
		if r, ok := ParseRelation(n); ok && r.Fork == Init && !r.Temp {
			if u == nil {
				u = Unlogged{}
			}
			u[r.Number] = true
		}
	}
	return u
}

// Keeps reports whether a file in that folder belongs to a base: of an unlogged relation only the init fork does.
func (u Unlogged) Keeps(base string) bool {
	if len(u) == 0 {
		return true
	}
	r, ok := ParseRelation(base)
	return !ok || r.Fork == Init || !u[r.Number]
}

// HasChecksums reports whether the file is made of pages with checksums: all forks of relations are.
func HasChecksums(name string) bool {
	r, ok := RelationOf(name)
	return ok && !r.Temp
}

// VersionFolder is the folder in a tablespace that is the server's own: "PG_15_202209061".
func VersionFolder(major int, c Control) string {
	return "PG_" + itoa(uint64(major)) + "_" + itoa(uint64(c.CatalogVersion))
}
