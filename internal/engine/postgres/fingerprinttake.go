package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// bounds of a fingerprint.
type bounds struct {
	bytes  int64         // that are read
	tables int           // that are digested
	blocks uint32        // that one question reads
	time   time.Duration // for which the snapshot keeps the server from cleaning up, about
}

// usual are those that no source feels.
var usual = bounds{bytes: 64 << 20, tables: 200, blocks: 64, time: time.Minute}

// flushTime is how long the log may take to be flushed: the server logs what runs each 15 s, and flushes that.
const flushTime = 40 * time.Second

// Fingerprint is engine.Fingerprinter's: of one database that the role may read, another one each time. The snapshot is exported by one
// session and read by another in transactions of a few milliseconds, between which it rests for as long as they took: no lock is held
// for longer, and nothing waits behind one.
func (Engine) Fingerprint(ctx context.Context, source engine.Source) (engine.Fingerprint, error) {
	s, ok := source.(*Source)
	if !ok {
		return engine.Fingerprint{}, fmt.Errorf("take fingerprint: %T is no PostgreSQL server", source)
	}
	if known, err := s.knownCluster(); err != nil || known != "" && known != s.system {
		return engine.Fingerprint{}, errors.Join(err, anotherCluster(s.system, known))
	}
	names, err := s.readable(ctx)
	if err != nil {
		return engine.Fingerprint{}, err
	}
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		f, err := s.fingerprint(ctx, name, usual)
		if _, none := errors.AsType[*engine.NotGrantedError](err); none {
			continue
		}
		return f, err
	}
	return engine.Fingerprint{}, &engine.NotGrantedError{Text: "the role may read no table", Advice: fmt.Sprintf("from PostgreSQL 14 on: GRANT pg_read_all_data TO %s;", quoteIdentifier(s.config.User))}
}

// readable are the databases that the role may enter.
func (s *Source) readable(ctx context.Context) ([]string, error) {
	conn, err := s.sql(ctx)
	if err != nil {
		return nil, &engine.NotGrantedError{Text: err.Error(), Advice: "let the role have sessions: a line for it in pg_hba.conf, and GRANT CONNECT"}
	}
	defer closeSoon(conn.Close)
	row, err := queryRow(ctx, conn, "SELECT pg_is_in_recovery()")
	if err != nil {
		return nil, s.explain(ctx, "take fingerprint", err)
	}
	if row[0] == "t" {
		return nil, &engine.NotGrantedError{Text: "the server is a standby, whose snapshots lie at no position of the log that it can name"}
	}
	rows, err := queryRows(ctx, conn, "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT')")
	if err != nil {
		return nil, s.explain(ctx, "take fingerprint", err)
	}
	var names []string
	for _, row := range rows {
		names = append(names, row[0])
	}
	return names, nil
}

// session opens one for a fingerprint.
func (s *Source) session(ctx context.Context, database string) (*pgconn.PgConn, error) {
	settings, err := s.settings(ctx)
	if err != nil {
		return nil, err
	}
	settings.Database = database
	conn, err := pgconn.ConnectConfig(ctx, settings)
	if err != nil {
		return nil, s.explain(ctx, fmt.Sprintf("connect to database %s of %s", database, s.where()), err)
	}
	if _, err := conn.Exec(ctx, fingerprintSettings+sourceLimits).ReadAll(); err != nil {
		closeSoon(conn.Close)
		return nil, s.explain(ctx, "take fingerprint", err)
	}
	return conn, nil
}

// taking is a fingerprint that is being taken.
type taking struct {
	source   *Source
	bounds   bounds
	reader   *pgconn.PgConn
	exported string // the snapshot
	pageSize int64
	out      fingerprint
	bytes    int64
	end      time.Time
}

func (s *Source) fingerprint(ctx context.Context, database string, b bounds) (f engine.Fingerprint, err error) {
	holder, err := s.session(ctx, database)
	if err != nil {
		return f, err
	}
	defer closeSoon(holder.Close)
	t := &taking{source: s, bounds: b, out: fingerprint{Database: database, Seed: rand.Int64()}, end: time.Now().Add(b.time)}
	if t.reader, err = s.session(ctx, database); err != nil {
		return f, err
	}
	defer closeSoon(t.reader.Close)
	if f, err = t.begin(ctx, holder); err != nil {
		return f, s.explain(ctx, "take fingerprint", err)
	}
	if err := t.take(ctx); err != nil {
		return f, err
	}
	if _, err := holder.Exec(ctx, "COMMIT").ReadAll(); err != nil { // it has held the snapshot to the end
		return f, s.explain(ctx, "take fingerprint", err)
	}
	if err := flushed(ctx, holder, wal.LSN(f.Position.Seq)); err != nil {
		return f, s.explain(ctx, "take fingerprint", err)
	}
	f.Tables, f.Bytes = len(t.out.Tables), t.bytes
	for _, d := range t.out.Tables {
		f.Rows += d.Rows
	}
	f.Detail, err = json.Marshal(t.out)
	return f, err
}

// begin takes the snapshot, and then the end of the log: what the snapshot sees was written before.
func (t *taking) begin(ctx context.Context, holder *pgconn.PgConn) (f engine.Fingerprint, err error) {
	if _, err := holder.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").ReadAll(); err != nil {
		return f, err
	}
	row, err := queryRow(ctx, holder, `SELECT txid_current_snapshot(), pg_current_wal_insert_lsn(), pg_walfile_name(pg_current_wal_insert_lsn()), pg_export_snapshot(),
		extract(epoch FROM clock_timestamp()), current_setting('block_size')`)
	if err != nil {
		return f, err
	}
	if t.out.Snapshot, err = parseSnapshot(row[0]); err != nil {
		return f, err
	}
	at, err := wal.ParseLSN(row[1])
	if err != nil {
		return f, err
	}
	var timeline uint32
	if _, err := fmt.Sscanf(row[2], "%08X", &timeline); err != nil {
		return f, fmt.Errorf("read log file name %q: %w", row[2], err)
	}
	t.exported, f.Position = row[3], position(timeline, at)
	if f.Time, err = parseEpoch(row[4]); err != nil {
		return f, err
	}
	t.pageSize, err = strconv.ParseInt(row[5], 10, 64)
	return f, err
}

// flushed waits until the log is flushed up to at: what is lost in a crash before that was seen by nobody else. The session is the one
// that took the snapshot: a crash ends it.
func flushed(ctx context.Context, session *pgconn.PgConn, at wal.LSN) error {
	for end := time.Now().Add(flushTime); ; {
		row, err := queryRow(ctx, session, "SELECT pg_current_wal_flush_lsn()")
		if err != nil {
			return err
		}
		if to, err := wal.ParseLSN(row[0]); err != nil || to >= at {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the log up to %s was not flushed within %s", at, flushTime)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// ask has one question answered as the snapshot sees it.
func (t *taking) ask(ctx context.Context, sql string) ([][]string, error) {
	results, err := t.reader.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '"+t.exported+"'; "+sql+"; COMMIT").ReadAll()
	if err != nil {
		_, _ = t.reader.Exec(ctx, "ROLLBACK").ReadAll() // the error is the one above
		return nil, err
	}
	return textOf(results[2]), nil
}

func textOf(r *pgconn.Result) [][]string {
	rows := make([][]string, len(r.Rows))
	for i, row := range r.Rows {
		for _, v := range row {
			rows[i] = append(rows[i], string(v))
		}
	}
	return rows
}

// take digests tables until the bounds are reached.
func (t *taking) take(ctx context.Context) error {
	rows, err := t.ask(ctx, tablesQuery+fmt.Sprintf(" AND has_table_privilege(c.oid, 'SELECT') ORDER BY md5(c.oid::text || '%d') LIMIT %d", t.out.Seed, t.bounds.tables))
	if err != nil {
		return t.source.explain(ctx, "take fingerprint", err)
	}
	types, err := t.ask(ctx, typesQuery)
	if err != nil {
		return t.source.explain(ctx, "take fingerprint", err)
	}
	var tables []sized
	for _, row := range rows {
		table, err := readListed(row)
		if err != nil {
			return fmt.Errorf("take fingerprint: %w", err)
		}
		if one, ok := t.size(ctx, table); ok {
			tables = append(tables, one)
		}
	}
	if len(tables) == 0 {
		return &engine.NotGrantedError{Text: "the role may read no table of " + t.out.Database}
	}
	slices.SortFunc(tables, func(a, b sized) int { return int(a.blocks) - int(b.blocks) })
	left := t.bounds.bytes
	for i, table := range tables {
		if time.Now().After(t.end) {
			break
		}
		before := t.bytes
		d, err := t.digest(ctx, table, left/int64(len(tables)-i))
		left -= t.bytes - before
		if left > 0 && err == nil {
			t.out.Tables = append(t.out.Tables, d)
		}
		if code(err) == "" && err != nil {
			return t.source.explain(ctx, "take fingerprint", err) // not the server's own word on one table: it is gone
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return t.settle(ctx, tables, types[0][0])
}

// sized is a table and how long it is.
type sized struct {
	listed
	blocks uint32
	bytes  int64 // with what is too long to stand in rows
}

// size asks for the size of one table; ok is false if somebody has locked it.
func (t *taking) size(ctx context.Context, table listed) (one sized, ok bool) {
	rows, err := t.ask(ctx, fmt.Sprintf("SELECT pg_relation_size(%d), pg_table_size(%d)", table.oid, table.oid))
	if err != nil || len(rows) != 1 {
		return one, false
	}
	main, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil {
		return one, false
	}
	all, err := strconv.ParseInt(rows[0][1], 10, 64)
	return sized{table, uint32((main + t.pageSize - 1) / t.pageSize), all}, err == nil //nolint:gosec // a table has no more blocks
}

// digest reads a table, or so many bytes of it in ranges at random places.
func (t *taking) digest(ctx context.Context, table sized, most int64) (d tableDigest, err error) {
	d = tableDigest{OID: table.oid, Node: table.node, Name: table.name}
	all, sum := table.ranges(t.bounds.blocks), newSum()
	read := all
	if table.bytes > most {
		n := max(1, int64(len(all))*most/table.bytes)
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		read = slices.SortedFunc(slices.Values(all[:min(int(n), len(all))]), func(a, b blocks) int { return int(a[0]) - int(b[0]) })
		d.Ranges = read
	}
	parts := make([]*blocks, 0, len(read))
	for _, r := range read {
		parts = append(parts, &r)
	}
	if d.Ranges == nil && (t.source.version < 14 || len(all) == 1) {
		parts = []*blocks{nil} // before 14 to name all rows takes longer than to read them
	}
	for _, part := range parts {
		began := time.Now()
		rows, err := t.ask(ctx, table.digestQuery(t.source.version, t.pageSize, t.out.Seed, part))
		if err == nil {
			err = sum.add(rows)
		}
		if err != nil {
			return d, err
		}
		rest(ctx, time.Since(began))
	}
	d.Rows, d.Sum = sum.rows, sum.hash.String()
	t.bytes += table.bytes * int64(len(read)) / max(1, int64(len(all)))
	return d, ctx.Err()
}

// ranges cut a table into what one question reads. What the snapshot sees lies in blocks that were there when its size was asked for.
func (t sized) ranges(most uint32) []blocks {
	all := []blocks{{0, min(t.blocks, most)}}
	for b := most; b < t.blocks; b += most {
		all = append(all, blocks{b, min(t.blocks, b+most)})
	}
	return all
}

// rest gives others as much time as was taken from them.
func rest(ctx context.Context, took time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(took):
	}
}

// settle leaves out tables that were changed in a way that older snapshots see too: by TRUNCATE, or ALTER TABLE.
func (t *taking) settle(ctx context.Context, tables []sized, types string) error {
	const failed = "take fingerprint"
	row, err := queryRow(ctx, t.reader, typesQuery)
	if err != nil {
		return t.source.explain(ctx, failed, err)
	}
	if row[0] != types {
		return errors.New("take fingerprint: types were changed while it was taken")
	}
	rows, err := queryRows(ctx, t.reader, tablesQuery)
	if err != nil {
		return t.source.explain(ctx, failed, err)
	}
	now := map[uint32]listed{}
	for _, row := range rows {
		if table, err := readListed(row); err == nil {
			now[table.oid] = table
		}
	}
	before := map[uint32]listed{}
	for _, table := range tables {
		before[table.oid] = table.listed
	}
	t.out.Tables = slices.DeleteFunc(t.out.Tables, func(d tableDigest) bool { return now[d.OID] != before[d.OID] })
	if len(t.out.Tables) == 0 {
		return errors.New("take fingerprint: no table could be read in time, or all of them were changed meanwhile")
	}
	return nil
}
