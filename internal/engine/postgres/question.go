package postgres

import (
	"context"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// questionSettings hold where we ask a private server, whatever the roles and databases of the source have set for themselves:
// those would win over the command line.
var questionSettings = map[string]string{
	"default_transaction_read_only": "off", // amcheck is installed
	"lc_messages":                   "C",   // what the server says is looked into
	"local_preload_libraries":       "",
	"lock_timeout":                  "0",
	"row_security":                  "off",
	"search_path":                   "",
	"session_preload_libraries":     "",
	"statement_timeout":             "0",
}

// question opens a session with a private server.
func question(ctx context.Context, srv *server.Server, role, database string) (*pgx.Conn, error) {
	c, err := questionConfig(srv, role, database)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, c)
}

// questionConfig is how question connects. The database's name may be any that a server allows, so it is not part of a DSN.
func questionConfig(srv *server.Server, role, database string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(srv.DSN(role, anyDatabase))
	if err != nil {
		return nil, err
	}
	c.Database = database
	maps.Copy(c.RuntimeParams, questionSettings)
	return c, nil
}
