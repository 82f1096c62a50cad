package postgres

import (
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
)

// advise says what should be changed at the server, the gravest first.
func advise(f serverFacts) []engine.Advice {
	var list []engine.Advice
	add := func(when bool, severity, text, do string) {
		if when {
			list = append(list, engine.Advice{Severity: severity, Text: text, Do: do})
		}
	}
	set := f.settings
	add(set["fsync"] == "off", "warning",
		"fsync is off: a crash of the server's host can destroy the database and lose log that is already protected here, which a new base must then heal",
		"ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();")
	add(set["full_page_writes"] == "off", "warning",
		"full_page_writes is off: a crash can leave torn pages that recovery cannot mend",
		"ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();")
	add(set["max_slot_wal_keep_size"] == "-1", "warning",
		"max_slot_wal_keep_size is -1: while Backstay is not running, its slot can fill the server's disk with log",
		"ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf(); (a part of the free space; beyond it a new base is taken by itself)")
	add(f.version == 12, "warning",
		"version 12 cannot limit how much log a slot keeps: while Backstay is not running, its slot can fill the server's disk", "")
	idle := set["idle_replication_slot_timeout"]
	add(idle != "" && idle != "0", "warning",
		fmt.Sprintf("idle_replication_slot_timeout is %s: when Backstay does not run for so long its slot is lost, and with log that is then removed a new base is needed", idle),
		"ALTER SYSTEM RESET idle_replication_slot_timeout; SELECT pg_reload_conf(); (max_slot_wal_keep_size bounds what a slot keeps)")
	for _, x := range f.strays {
		list = append(list, engine.Advice{Severity: "warning",
			Text: fmt.Sprintf("slot %s is not used and keeps %d MB of log: it was left behind by another installation or source name", x.name, x.held>>20),
			Do:   fmt.Sprintf("if nobody needs it: SELECT pg_drop_replication_slot('%s');", x.name)})
	}
	add(set["synchronous_commit"] == "remote_apply" && f.waiting() != notNamed, "warning",
		"synchronous_commit is remote_apply: nothing is applied here, so commits that count on us wait for ever",
		"ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();")
	add(f.standby, "info",
		"this server is a standby: what it has received is protected, and moments are known up to the last commit only", "")
	add(set["data_checksums"] == "off", "info",
		"data checksums are off: a page that the disk has damaged cannot be noticed when it is backed up",
		"pg_checksums --enable, while the server is stopped")
	list = append(list, f.waitingAdvice())
	return list
}
