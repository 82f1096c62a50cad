package postgres

import (
	"os"
	"strconv"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// scratchSettings are those of every private server on restored data. The data's own configuration is not read, so
// that nothing in it (a library that is not here, a path, a hook) can keep the server from starting.
func (f facts) scratchSettings() map[string]string {
	c := f.control
	s := map[string]string{
		"config_file":               os.DevNull,
		"ident_file":                os.DevNull,
		"autovacuum":                "off",
		"jit":                       "off",
		"restart_after_crash":       "off",
		"shared_preload_libraries":  "",
		"session_preload_libraries": "",
		"local_preload_libraries":   "",
		"max_connections":           number(max(c.MaxConnections, 20)),
		"max_worker_processes":      number(c.MaxWorkers),
		"max_wal_senders":           number(c.MaxWALSenders),
		"max_prepared_transactions": number(max(c.MaxPrepared, 100)), // it may have been raised since the base
		"max_locks_per_transaction": number(max(c.MaxLocks, 64)),
		"wal_level":                 max(c.WALLevel, 1).String(),
		"wal_log_hints":             onOff(c.WALLogHints),
		"track_commit_timestamp":    "on", // off would remove the time stamps that there are
	}
	if f.major >= 17 {
		s["summarize_wal"] = "off"
	}
	if f.major >= 18 {
		s["io_method"] = "worker"
	}
	return s
}

// replaySettings are those of the server that replays the log. It need not survive a crash: data that was not
// recovered to the end is removed, and all of it is synced afterwards.
func (f facts) replaySettings(timeline uint32) map[string]string {
	s := f.scratchSettings()
	for name, value := range map[string]string{
		"restore_command":          restoreCommand,
		"recovery_target_timeline": strconv.FormatUint(uint64(timeline), 10),
		"recovery_end_command":     "",
		"archive_cleanup_command":  "",
		"recovery_min_apply_delay": "0",
		"hot_standby":              "off",
		"fsync":                    "off",
		"full_page_writes":         "on",
		"shared_buffers":           replayBuffers(memory()),
		"checkpoint_timeout":       "1h",
		"max_wal_size":             replayLog,
		"wal_recycle":              "off",
		"wal_init_zero":            "off",
	} {
		s[name] = value
	}
	return s
}

// replayLog is how much log may lie beside the data until the pages that it changed are written.
const replayLog = "4GB"

// stopAt adds what ends a replay after the record that begins at start, without promoting.
func stopAt(s map[string]string, start wal.LSN) {
	s["recovery_target_lsn"] = start.String()
	s["recovery_target_inclusive"] = "on"
	s["recovery_target_action"] = "shutdown"
}

func number(n int32) string { return strconv.FormatInt(int64(n), 10) }

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
