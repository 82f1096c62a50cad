package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
)

var _ engine.Inspector = (*looker)(nil)

// Inspect implements engine.Inspector.
func (l *looker) Inspect(ctx context.Context, n engine.Needs) (engine.Inspection, error) {
	conn, err := pgconnConnect(ctx, l.source.url)
	if err != nil {
		return engine.Inspection{}, l.source.explain(ctx, "look at "+l.address, err)
	}
	defer closeSoon(conn.Close)
	i, err := inspect(ctx, conn, l.source.config.User, n)
	if err != nil {
		return i, l.source.explain(ctx, "look at "+l.address, err)
	}
	return i, nil
}

func inspect(ctx context.Context, conn *pgconn.PgConn, role string, n engine.Needs) (engine.Inspection, error) {
	s, err := look(ctx, conn)
	if err != nil {
		return engine.Inspection{}, err
	}
	i := engine.Inspection{SystemID: s.SystemID, Primary: s.Role == engine.RolePrimary, Timeline: s.Position.Timeline}
	settings, err := settingsOf(ctx, conn)
	if err != nil {
		return i, err
	}
	number, err := strconv.Atoi(settings["server_version_num"])
	if err != nil {
		return i, fmt.Errorf("read server_version_num: %w", err)
	}
	i.Major = number / 10000
	i.Checksums = settings["data_checksums"] == "on" || settings["wal_log_hints"] == "on"
	if i.Owners, err = owners(ctx, conn); err != nil {
		return i, err
	}
	lackSettings(&i, settings, n)
	return i, lackRights(ctx, conn, &i, role, n)
}

// owners reads in the names of sessions whose they are: those of agents, and of keepers that have a member without one.
func owners(ctx context.Context, conn *pgconn.PgConn) (all []string, err error) {
	rows, err := queryRows(ctx, conn, `SELECT DISTINCT pg_catalog.split_part(application_name, ' ', CASE WHEN application_name LIKE 'backstay agent %' THEN 3 ELSE 4 END)
		FROM pg_catalog.pg_stat_activity WHERE application_name LIKE 'backstay agent %' OR application_name LIKE 'backstay keeper %' ORDER BY 1`)
	for _, r := range rows {
		if r[0] != "" {
			all = append(all, r[0])
		}
	}
	return all, err
}

func settingsOf(ctx context.Context, conn *pgconn.PgConn) (map[string]string, error) {
	rows, err := queryRows(ctx, conn, "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('server_version_num', 'data_checksums', 'wal_log_hints', 'wal_level', "+
		"'max_wal_senders', 'max_replication_slots', 'hot_standby', 'synchronous_commit', 'wal_receiver_timeout', 'recovery_min_apply_delay', 'fsync', 'full_page_writes')")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, r := range rows {
		all[r[0]] = r[1]
	}
	return all, nil
}

// lackSettings compares settings with what a cluster needs. Slots and senders: one for each other member, one for Backstay's log, one for a
// copy that is made.
func lackSettings(i *engine.Inspection, have map[string]string, n engine.Needs) {
	if !n.Manages {
		return
	}
	set := func(name, value string) string { return fmt.Sprintf("ALTER SYSTEM SET %s = %s;", name, value) }
	least := func(name string, value int) {
		if v, err := strconv.Atoi(have[name]); err == nil && v < value {
			i.Missing, i.Restart = append(i.Missing, set(name, strconv.Itoa(value))), true
		}
	}
	if have["wal_level"] == "minimal" {
		i.Missing, i.Restart = append(i.Missing, set("wal_level", "'replica'")), true
	}
	least("max_wal_senders", n.Members+2)
	slots := n.Members + 1
	if !n.Agent {
		slots += 3 // what an agent would keep on its disk stands in the names of slots
	}
	least("max_replication_slots", slots)
	for _, name := range []string{"hot_standby", "fsync", "full_page_writes"} {
		if have[name] == "off" {
			i.Missing = append(i.Missing, set(name, "on"))
			i.Restart = i.Restart || name == "hot_standby"
		}
	}
	if v := have["synchronous_commit"]; v == "off" || v == "local" {
		i.Missing = append(i.Missing, set("synchronous_commit", "'on'"))
	}
	if v := have["recovery_min_apply_delay"]; v != "0" && v != "" {
		i.Missing = append(i.Missing, set("recovery_min_apply_delay", "0"))
	}
	if !i.Checksums && n.Agent {
		i.Missing, i.Restart = append(i.Missing, set("wal_log_hints", "on")), true
	}
	if v, err := strconv.Atoi(have["wal_receiver_timeout"]); err == nil && (v == 0 || v > 5000) {
		i.Wishes = append(i.Wishes, set("wal_receiver_timeout", "'2s'"))
	}
}

// rights is what the role needs, each with a question that answers t where it is there, and the SQL that gives it.
var rights = []struct {
	manages  bool // only where Backstay promotes
	agent    bool // and an agent acts on the server's host: it rewinds from this one
	bare     bool // and none does: all is done over SQL
	since    int  // version; zero: any
	before   int
	ask      string
	give     string
	optional bool
}{
	{ask: "SELECT pg_catalog.pg_has_role(current_user, 'pg_monitor', 'USAGE')", give: "GRANT pg_monitor TO %s;"},
	{ask: "SELECT coalesce(has_function_privilege(to_regprocedure('backstay.verifier(text)'), 'EXECUTE'), false)", give: verifierSQL, optional: true},
	{manages: true, ask: "SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", give: "ALTER ROLE %s REPLICATION;"},
	{agent: true, ask: "SELECT has_function_privilege('pg_catalog.pg_ls_dir(text, boolean, boolean)', 'EXECUTE') AND has_function_privilege('pg_catalog.pg_stat_file(text, boolean)', 'EXECUTE') " +
		"AND has_function_privilege('pg_catalog.pg_read_binary_file(text)', 'EXECUTE') AND has_function_privilege('pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)', 'EXECUTE')",
		give: `GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), pg_catalog.pg_stat_file(text, boolean),
  pg_catalog.pg_read_binary_file(text), pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO %s;`},
	{agent: true, since: 15, ask: "SELECT pg_catalog.pg_has_role(current_user, 'pg_checkpoint', 'USAGE')", give: "GRANT pg_checkpoint TO %s;", optional: true},
	{bare: true, ask: "SELECT has_function_privilege('pg_catalog.pg_promote(boolean, integer)', 'EXECUTE')", give: "GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO %s;"},
	{bare: true, ask: "SELECT has_function_privilege('pg_catalog.pg_reload_conf()', 'EXECUTE')", give: "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO %s;"},
	{bare: true, since: 15, ask: "SELECT has_parameter_privilege('synchronous_standby_names', 'ALTER SYSTEM') AND has_parameter_privilege('primary_conninfo', 'ALTER SYSTEM') AND has_parameter_privilege('primary_slot_name', 'ALTER SYSTEM') " +
		"AND has_parameter_privilege('default_transaction_read_only', 'ALTER SYSTEM')",
		give: "GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names, primary_conninfo, primary_slot_name, default_transaction_read_only TO %s;"},
	{bare: true, before: 15, ask: "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", give: "ALTER ROLE %s SUPERUSER; -- before version 15 nobody else may ALTER SYSTEM"},
	{bare: true, ask: "SELECT pg_catalog.pg_has_role(current_user, 'pg_signal_backend', 'USAGE')", give: "GRANT pg_signal_backend TO %s;"},
}

// verifierSQL lets a role read password verifiers, and nothing else that only superusers may: with them the proxy checks clients' passwords
// itself, and can move their sessions to another server. Those of superusers stay where they are: such logins pass through. %s is the role.
const verifierSQL = `CREATE SCHEMA IF NOT EXISTS backstay;
CREATE OR REPLACE FUNCTION backstay.verifier(name text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$SELECT CASE WHEN rolsuper THEN 'superuser' ELSE rolpassword END FROM pg_catalog.pg_authid WHERE rolname = name AND rolcanlogin$$;
REVOKE ALL ON FUNCTION backstay.verifier(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA backstay TO %s;
GRANT EXECUTE ON FUNCTION backstay.verifier(text) TO %s;`

func lackRights(ctx context.Context, conn *pgconn.PgConn, i *engine.Inspection, role string, n engine.Needs) error {
	for _, r := range rights {
		if r.manages && !n.Manages || r.agent && !(n.Manages && n.Agent) || r.bare && (!n.Manages || n.Agent) || i.Major < r.since || r.before > 0 && i.Major >= r.before {
			continue
		}
		row, err := queryRow(ctx, conn, r.ask)
		if err != nil {
			return err
		}
		if row[0] == "t" {
			continue
		}
		give := strings.ReplaceAll(r.give, "%s", quoteIdentifier(role))
		if r.optional {
			i.Wishes = append(i.Wishes, give)
		} else {
			i.Missing = append(i.Missing, give)
		}
	}
	return nil
}
