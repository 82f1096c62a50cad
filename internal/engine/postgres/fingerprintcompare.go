package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
)

var _ engine.Comparer = (*launched)(nil)

// hashSum adds up rows and their hashes.
type hashSum struct {
	rows int64
	hash *big.Int
}

func newSum() *hashSum { return &hashSum{hash: new(big.Int)} }

func (s *hashSum) add(rows [][]string) error {
	if len(rows) != 1 || len(rows[0]) != 2 {
		return errRows
	}
	n, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil {
		return err
	}
	hash, ok := new(big.Int).SetString(rows[0][1], 10)
	if !ok {
		return fmt.Errorf("read sum %q", rows[0][1])
	}
	s.rows += n
	s.hash.Add(s.hash, hash)
	return nil
}

// Compare is engine.Comparer's. It asks first whether the server has the transactions that the snapshot saw, and no others; of those
// that it saw Cut found all in the log.
func (l *launched) Compare(ctx context.Context, f engine.Fingerprint) (c engine.Comparison, err error) {
	var d fingerprint
	if err := json.Unmarshal(f.Detail, &d); err != nil {
		return c, fmt.Errorf("read fingerprint: %w", err)
	}
	config, err := questionConfig(l.server, l.role, d.Database)
	if err != nil {
		return c, err
	}
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if code(err) == noDatabase {
		c.Different = []string{"database " + d.Database + " is not there"}
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer closeSoon(conn.Close)
	if _, err := conn.Exec(ctx, fingerprintSettings+scratchLimits).ReadAll(); err != nil {
		return c, err
	}
	if c.Why, err = l.stranger(ctx, conn, d.Snapshot); err != nil || c.Why != "" {
		return c, err
	}
	return c, l.compareTables(ctx, conn, d, &c)
}

// stranger says which transaction stands here that the snapshot did not see, "" if there is none. What this server did itself since it
// began, such as to make an extension, does not count.
func (l *launched) stranger(ctx context.Context, conn *pgconn.PgConn, s snapshot) (string, error) {
	words := make([]string, len(s.Running))
	for i, xid := range s.Running {
		words[i] = strconv.FormatUint(xid, 10)
	}
	rows, err := queryRows(ctx, conn, `SELECT x FROM (SELECT unnest(string_to_array($1, ',')::bigint[]) UNION ALL SELECT generate_series($2::bigint, $3::bigint - 1)) AS t(x)
		WHERE CASE WHEN x < $3::bigint THEN txid_status(x) = 'committed' END ORDER BY x LIMIT 1`,
		strings.Join(words, ","), strconv.FormatUint(s.Next, 10), strconv.FormatUint(l.next, 10))
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return fmt.Sprintf("transaction %s is in the log before the last one that was visible, and was not visible itself", rows[0][0]), nil
}

// compareTables digests the tables of a fingerprint here. One that this host cannot print, as it lacks the library of a type, is left
// out; one that the server cannot read is not as it was.
func (l *launched) compareTables(ctx context.Context, conn *pgconn.PgConn, d fingerprint, c *engine.Comparison) error {
	here, pageSize, err := tablesHere(ctx, conn)
	if err != nil {
		return err
	}
	for _, want := range d.Tables {
		t, ok := here[want.OID]
		if !ok || t.node != want.Node {
			c.Different = append(c.Different, want.Name+" is not there, or in another file")
			continue
		}
		sum, err := l.digest(ctx, conn, t, pageSize, d.Seed, want.Ranges)
		var said *pgconn.PgError
		switch {
		case err == nil && (sum.rows != want.Rows || sum.hash.String() != want.Sum):
			c.Different = append(c.Different, different(want, sum))
		case errors.As(err, &said) && unloadable.MatchString(said.Message):
			if c.LeftOut++; c.Note == "" {
				c.Note = want.Name + ": " + said.Message
			}
			continue
		case err != nil && !errors.As(refusal(ctx, err), new(*engine.QueryError)):
			return err
		case err != nil:
			c.Different = append(c.Different, want.Name+" cannot be read: "+said.Message)
		}
		c.Tables++
		c.Rows += sum.rows
	}
	return nil
}

// different says how a table is not what it was.
func different(want tableDigest, got *hashSum) string {
	what := "rows"
	if want.Ranges != nil {
		what = "rows in what was read of it"
	}
	if got.rows != want.Rows {
		return fmt.Sprintf("%s has %d %s, and had %d", want.Name, got.rows, what, want.Rows)
	}
	return fmt.Sprintf("%s has %d %s as before, and not the same", want.Name, got.rows, what)
}

// tablesHere are the tables of a database by their numbers, and the size of its pages.
func tablesHere(ctx context.Context, conn *pgconn.PgConn) (map[uint32]listed, int64, error) {
	rows, err := queryRows(ctx, conn, tablesQuery)
	if err != nil {
		return nil, 0, err
	}
	here := map[uint32]listed{}
	for _, row := range rows {
		t, err := readListed(row)
		if err != nil {
			return nil, 0, err
		}
		here[t.oid] = t
	}
	row, err := queryRow(ctx, conn, "SELECT current_setting('block_size')")
	if err != nil {
		return nil, 0, err
	}
	size, err := strconv.ParseInt(row[0], 10, 64)
	return here, size, err
}

func (l *launched) digest(ctx context.Context, conn *pgconn.PgConn, t listed, pageSize, seed int64, ranges []blocks) (*hashSum, error) {
	parts := []*blocks{nil}
	if len(ranges) > 0 {
		parts = parts[:0]
	}
	for _, r := range ranges {
		parts = append(parts, &r)
	}
	sum := newSum()
	for _, part := range parts {
		rows, err := queryRows(ctx, conn, t.digestQuery(l.facts.major, pageSize, seed, part))
		if err == nil {
			err = sum.add(rows)
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}
