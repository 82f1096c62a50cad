package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
)

// errElsewhere is why the files of a server cannot be read from here.
var errElsewhere = errors.New("the data directory cannot be read from here")

// localDir returns the data directory of the server behind conn, if its files can be read from here and the role may
// begin a base. All other cases are errElsewhere, with the reason.
//
// A folder of that name with the right system identifier is not enough: it may be the standby's, on a host of its own
// that has the same paths. So the server is asked to put a file into its folder, a snapshot of a transaction, which
// needs no right, and we look whether it is there.
func localDir(ctx context.Context, conn *pgconn.PgConn, major int, systemID uint64) (string, error) {
	dir, err := dataDirectory(ctx, conn, major)
	if err != nil {
		return "", err
	}
	c, _, err := datadir.ReadControl(os.DirFS(dir))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errElsewhere, err)
	}
	if c.SystemID != systemID {
		return "", fmt.Errorf("%w: %s here belongs to the cluster %d", errElsewhere, dir, c.SystemID)
	}
	if err := proveSnapshot(ctx, conn, dir); err != nil {
		return "", err
	}
	return dir, nil
}

// dataDirectory asks where the server's files are, and whether the role may take a base by reading them.
func dataDirectory(ctx context.Context, conn *pgconn.PgConn, major int) (string, error) {
	begin, end := "pg_backup_start(text,boolean)", "pg_backup_stop(boolean)"
	if major < 15 {
		begin, end = "pg_start_backup(text,boolean,boolean)", "pg_stop_backup(boolean,boolean)"
	}
	row, err := queryRow(ctx, conn, "SELECT has_function_privilege($1, 'EXECUTE') AND has_function_privilege($2, 'EXECUTE')", begin, end)
	if err != nil {
		return "", fmt.Errorf("ask for the data directory: %w", err)
	}
	if row[0] != "t" {
		return "", fmt.Errorf("%w: the role may not call %s", errElsewhere, begin)
	}
	row, err = queryRow(ctx, conn, "SELECT current_setting('data_directory')")
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return "", fmt.Errorf("%w: %w", errElsewhere, err)
	}
	if err != nil {
		return "", fmt.Errorf("ask for the data directory: %w", err)
	}
	return row[0], nil
}

// proveSnapshot sees that a snapshot exported by conn appears in dir.
func proveSnapshot(ctx context.Context, conn *pgconn.PgConn, dir string) (err error) {
	if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").ReadAll(); err != nil {
		return fmt.Errorf("ask for a snapshot: %w", err)
	}
	defer func() {
		_, end := conn.Exec(ctx, "ROLLBACK").ReadAll()
		err = errors.Join(err, end)
	}()
	row, err := queryRow(ctx, conn, "SELECT pg_export_snapshot(), pg_backend_pid()")
	if err != nil {
		return fmt.Errorf("ask for a snapshot: %w", err)
	}
	if !filepath.IsLocal(row[0]) {
		return fmt.Errorf("%w: the server named a snapshot %q", errElsewhere, row[0])
	}
	text, err := os.ReadFile(filepath.Join(dir, "pg_snapshots", row[0]))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s here is not the folder of that server", errElsewhere, dir)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errElsewhere, err)
	}
	pid, err := strconv.Atoi(row[1])
	if err != nil || !strings.Contains(string(text), fmt.Sprintf("\npid:%d\n", pid)) {
		return fmt.Errorf("%w: %s here is not the folder of that server", errElsewhere, dir)
	}
	return nil
}
