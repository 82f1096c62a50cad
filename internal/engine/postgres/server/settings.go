package server

import (
	"fmt"
	"maps"
	"net"
	"slices"
)

// private are the settings of a server that is not handed over: it talks to nobody, does nothing by itself, waits for
// no standby, and logs to us in English. Dotted names are accepted by every server, with or without the extension.
var private = map[string]string{
	"archive_mode":                    "off",
	"cron.launch_active_jobs":         "off",
	"event_triggers":                  "off",
	"lc_messages":                     "C",
	"log_destination":                 "stderr",
	"log_line_prefix":                 "%m [%p] ",
	"log_min_messages":                "warning",
	"logging_collector":               "off",
	"max_logical_replication_workers": "0",
	"primary_conninfo":                "",
	"primary_slot_name":               "",
	"ssl":                             "off",
	"synchronous_standby_names":       "",
}

// since is the first major version that knows a setting, where not all do.
var since = map[string]int{"event_triggers": 17}

// arguments is the command line of the postmaster.
func (c Config) arguments(f *folder) ([]string, error) {
	all := map[string]string{}
	if !c.Own {
		for name, value := range private {
			if c.Programs.Major >= since[name] {
				all[name] = value
			}
		}
		all["hba_file"] = f.hba
		all["external_pid_file"] = f.pid // an empty one is not none
	}
	// A configuration file from elsewhere may name another directory, which would win over -D.
	all["data_directory"] = c.Dir
	all["unix_socket_directories"] = f.path
	all["unix_socket_permissions"] = "0700"
	all["listen_addresses"] = ""
	all["port"] = c.port()
	if c.Listen != "" {
		host, _, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return nil, fmt.Errorf("listen on %q: %w", c.Listen, err)
		}
		all["listen_addresses"] = host
	}
	maps.Copy(all, c.Settings)
	arguments := []string{"-D", c.Dir}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		arguments = append(arguments, "-c", name+"="+all[name])
	}
	return arguments, nil
}

func (c Config) port() string {
	if p := c.Settings["port"]; p != "" {
		return p
	}
	if _, p, err := net.SplitHostPort(c.Listen); err == nil {
		return p
	}
	return port
}
