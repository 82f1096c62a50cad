package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// catalog reads pg_class and pg_attribute of every database and looks for the file of each relation.
func (v *verification) catalog(ctx context.Context) (string, error) {
	found := &findingError{}
	var relations, columns int64
	err := v.each(ctx, found, func(conn *pgx.Conn, database string) error {
		var r, c int64
		if err := conn.QueryRow(ctx, "select (select count(*) from pg_class), (select count(*) from pg_attribute)").Scan(&r, &c); err != nil {
			return err
		}
		relations, columns = relations+r, columns+c
		missing, err := column(ctx, conn, `select c.oid::regclass::text from pg_class c
			where c.relkind in ('r', 'i', 't', 'm', 'S') and pg_relation_filenode(c.oid) is not null
			and (pg_stat_file(pg_relation_filepath(c.oid), true)).size is null`)
		if err != nil {
			return err
		}
		for _, name := range missing {
			found.add("%s in database %s has no file", name, database)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return found.result("%d databases, %d relations, %d columns", len(v.databases), relations, columns)
}

// structures has amcheck look at every heap (from 14 on) and every B-tree. Where it is not installed every table is
// read instead.
func (v *verification) structures(ctx context.Context) (string, error) {
	s := &structureCheck{extension: v.extension, found: &findingError{}, version: v.facts.major, lacks: map[string]int{}}
	if err := v.each(ctx, s.found, func(conn *pgx.Conn, database string) error { return s.database(ctx, conn, database) }); err != nil {
		return "", err
	}
	if s.without > 0 {
		return s.found.result("%s is not installed on this host; %d tables were read in %d databases%s", s.extension, s.read, len(v.databases), s.unread())
	}
	detail := fmt.Sprintf("%d indexes with all their rows", s.indexes)
	if s.version >= 14 {
		detail = fmt.Sprintf("%d heaps, %s", s.heaps, detail)
	}
	if s.skipped > 0 {
		detail += fmt.Sprintf("; %d indexes left out, as the sorting of text on this host is not that of the source", s.skipped)
	}
	return s.found.result("%s, in %d databases%s", detail, len(v.databases), s.unread())
}

// structureCheck is what was looked at over all databases.
type structureCheck struct {
	extension string
	found     *findingError
	version   int

	heaps, indexes, skipped, read, without int
	lacks                                  map[string]int // relations that could not be looked at, by the library that is not here
}

// unloadable are messages of a server that has not what an extension of the source brings. That host is not the
// source's; the data may be as good as any.
var unloadable = regexp.MustCompile(`^could not (?:access file|load library) "([^"]+)"|^extension "([^"]+)" must be (?:pre)?loaded|^(\S+) must be loaded via "?shared_preload_libraries`)

// tell notes what the server says of a relation, and reports whether it was looked at.
func (s *structureCheck) tell(where string, err error) (looked bool, _ error) {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		if m := unloadable.FindStringSubmatch(said.Message); m != nil {
			s.lacks[m[1]+m[2]+m[3]]++
			return false, nil
		}
	}
	return err == nil, s.found.tell(where, err)
}

// unread tells what could not be looked at, and why.
func (s *structureCheck) unread() string {
	var b strings.Builder
	for _, library := range slices.Sorted(maps.Keys(s.lacks)) {
		fmt.Fprintf(&b, "; %d left out, as %s is not on this host", s.lacks[library], library)
	}
	return b.String()
}

func (s *structureCheck) database(ctx context.Context, conn *pgx.Conn, database string) error {
	schema, err := install(ctx, conn, s.extension)
	if err != nil {
		return err
	}
	if schema == "" {
		s.without++
		return s.readTables(ctx, conn, database)
	}
	if s.version >= 14 {
		if err := s.checkHeaps(ctx, conn, schema, database); err != nil {
			return err
		}
	}
	return s.checkIndexes(ctx, conn, schema, database)
}

// install makes an extension, in data that is only looked at, and returns its schema, quoted; "" where this
// host does not have it.
func install(ctx context.Context, conn *pgx.Conn, extension string) (string, error) {
	const where = `select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = $1`
	schema, err := column(ctx, conn, where, extension)
	if err != nil || len(schema) > 0 {
		return first(schema), err
	}
	there, err := column(ctx, conn, "select name::text from pg_available_extensions where name = $1", extension)
	if err != nil || len(there) == 0 {
		return "", err
	}
	if _, err := conn.Exec(ctx, "create extension "+pgx.Identifier{extension}.Sanitize()+" schema pg_catalog"); err != nil {
		return "", err
	}
	schema, err = column(ctx, conn, where, extension)
	return first(schema), err
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// target is one relation to look at.
type target struct {
	oid  uint32
	name string
}

func targets(ctx context.Context, conn *pgx.Conn, query string) ([]target, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t target, err error) {
		err = row.Scan(&t.oid, &t.name)
		return t, err
	})
}

// checkHeaps checks all tables that are heaps, those of the catalog and TOAST included.
func (s *structureCheck) checkHeaps(ctx context.Context, conn *pgx.Conn, schema, database string) error {
	list, err := targets(ctx, conn, `select c.oid, c.oid::regclass::text from pg_class c join pg_am a on a.oid = c.relam
		where c.relkind in ('r', 't', 'm') and a.amname = 'heap' and c.relpersistence = 'p' order by c.oid`)
	if err != nil {
		return err
	}
	for _, t := range list {
		said, err := column(ctx, conn, "select format('block %s, row %s: %s', blkno, offnum, msg) from "+schema+".verify_heapam(relation => $1::oid::regclass, check_toast => true)", t.oid)
		for _, text := range said {
			s.found.add("%s in database %s: %s", t.name, database, text)
		}
		looked, err := s.tell(t.name+" in database "+database, err)
		if err != nil {
			return err
		}
		s.heaps += count(looked)
	}
	return nil
}

// checkIndexes checks all B-trees: their order, and that every row of the table is in them. Those that sort text are
// left out where the host sorts it otherwise than the source did: they are not damaged, they are out of place here.
func (s *structureCheck) checkIndexes(ctx context.Context, conn *pgx.Conn, schema, database string) error {
	list, err := targets(ctx, conn, `select c.oid, c.oid::regclass::text from pg_class c join pg_index i on i.indexrelid = c.oid join pg_am a on a.oid = c.relam
		where c.relkind = 'i' and a.amname = 'btree' and c.relpersistence = 'p' and i.indisready and i.indisvalid order by c.oid`)
	if err != nil {
		return err
	}
	elsewhere, err := s.sortedElsewhere(ctx, conn)
	if err != nil {
		return err
	}
	for _, t := range list {
		if elsewhere[t.oid] {
			s.skipped++
			continue
		}
		_, err := conn.Exec(ctx, "select "+schema+".bt_index_check($1::oid::regclass, true)", t.oid)
		looked, err := s.tell(t.name+" in database "+database, err)
		if err != nil {
			return err
		}
		s.indexes += count(looked)
	}
	return nil
}

// sortedElsewhere finds indexes over text whose collation has another version here.
func (s *structureCheck) sortedElsewhere(ctx context.Context, conn *pgx.Conn) (map[uint32]bool, error) {
	changed := "select oid from pg_collation where collversion is not null and collversion is distinct from pg_collation_actual_version(oid)"
	if s.version >= 15 {
		changed += ` union all select 100::oid from pg_database where datname = current_database()
			and datcollversion is not null and datcollversion is distinct from pg_database_collation_actual_version(oid)`
	}
	list, err := targets(ctx, conn, "select indexrelid, '' from pg_index where indcollation::oid[] && array("+changed+")")
	if err != nil {
		return nil, err
	}
	found := map[uint32]bool{}
	for _, t := range list {
		found[t.oid] = true
	}
	return found, nil
}

// readTables reads every row of every table, and what is too long to stand in a row. Where that lies, rows are no values
// of their own.
func (s *structureCheck) readTables(ctx context.Context, conn *pgx.Conn, database string) error {
	for kinds, row := range map[string]string{"'r', 'm'": "t", "'t'": "t.chunk_data"} {
		list, err := targets(ctx, conn, "select oid, oid::regclass::text from pg_class where relkind in ("+kinds+") and relpersistence = 'p' and relispopulated order by 1")
		if err != nil {
			return err
		}
		for _, t := range list {
			_, err := conn.Exec(ctx, "select count("+row+") from "+t.name+" t")
			looked, err := s.tell(t.name+" in database "+database, err)
			if err != nil {
				return err
			}
			s.read += count(looked)
		}
	}
	return nil
}

func count(one bool) int {
	if one {
		return 1
	}
	return 0
}
