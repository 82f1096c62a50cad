package postgres

import "fmt"

// fingerprintSettings make the text of a value depend on the value alone, here and where it is compared. Plans are kept from using
// more than one process, and from reading a table where a range of blocks will do.
const fingerprintSettings = `SET search_path = ''; SET row_security = off; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';
	SET extra_float_digits = 3; SET bytea_output = 'hex'; SET xmlbinary = 'base64'; SET lc_monetary = 'C'; SET client_encoding = 'UTF8';
	SET jit = off; SET max_parallel_workers_per_gather = 0; SET enable_seqscan = off; SET idle_in_transaction_session_timeout = 0`

// sourceLimits bound what one question may do at a source: it never waits for long, so that nobody queues behind it.
const sourceLimits = `; SET statement_timeout = '5s'; SET lock_timeout = '200ms'`

// scratchLimits are those where nobody else works.
const scratchLimits = `; SET statement_timeout = 0; SET lock_timeout = 0`

// tablesQuery lists tables that can be digested: heaps that are logged and not the server's own. Names of things are not values: how
// a column of such a type is printed depends on what is renamed, so that those are left out. The shape says what ALTER TABLE changes,
// the file what TRUNCATE does: both do so for snapshots that are older.
const tablesQuery = `SELECT c.oid, c.relfilenode, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
	coalesce((SELECT string_agg('a.' || quote_ident(t.attname), ', ' ORDER BY t.attnum) FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attnum > 0
		AND NOT t.attisdropped AND t.atttypid NOT IN (SELECT oid FROM pg_type WHERE typname LIKE 'reg%' AND typnamespace = 11)), ''),
	coalesce((SELECT md5(string_agg(concat_ws(' ', t.attnum, t.attname, t.atttypid, t.atttypmod), ',' ORDER BY t.attnum)) FROM pg_attribute t
		WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped), '')
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam
	WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND c.relispopulated AND m.amname = 'heap' AND c.relfilenode <> 0
	AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')`

// typesQuery digests what values of types made by people are printed with.
const typesQuery = `SELECT md5(concat((SELECT string_agg(concat_ws(' ', oid, enumlabel), ',' ORDER BY oid) FROM pg_enum), '|',
	(SELECT string_agg(concat_ws(' ', a.attrelid, a.attnum, a.atttypid), ',' ORDER BY a.attrelid, a.attnum) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relkind = 'c' AND a.attnum > 0)))`

// listed is one table as tablesQuery gives it.
type listed struct {
	oid     uint32
	node    uint32
	name    string
	columns string
	shape   string
}

func readListed(row []string) (t listed, err error) {
	if _, err = fmt.Sscan(row[0], &t.oid); err == nil {
		_, err = fmt.Sscan(row[1], &t.node)
	}
	t.name, t.columns, t.shape = row[2], row[3], row[4]
	return t, err
}

// digestQuery counts the rows of a table, or of a range of its blocks, and adds up their hashes.
func (t listed) digestQuery(major int, pageSize, seed int64, part *blocks) string {
	q := fmt.Sprintf(`SELECT count(*), coalesce(sum(hashtextextended(ROW(%s)::text COLLATE "C", %d)), 0) FROM ONLY %s AS a`, t.columns, seed, t.name)
	if part == nil {
		return q
	}
	return q + " WHERE " + inRange(major, pageSize, *part)
}

// leastRow is what a row takes of a page at least, bytes: a pointer and a header.
const leastRow = 28

// inRange is the condition for rows in a range of blocks. Servers before 14 cannot read a range, but rows that are named.
func inRange(major int, pageSize int64, r blocks) string {
	if major >= 14 {
		return fmt.Sprintf("a.ctid >= '(%d,0)' AND a.ctid < '(%d,0)'", r[0], r[1])
	}
	return fmt.Sprintf("a.ctid = ANY (ARRAY(SELECT ('(' || b || ',' || o || ')')::tid FROM generate_series(%d, %d) AS b, generate_series(1, %d) AS o))",
		r[0], int64(r[1])-1, pageSize/leastRow)
}
