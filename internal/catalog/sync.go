package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
)

// Ref names one repository of one source: a holding.
type Ref struct {
	Source     string `json:"source"`
	Repository string `json:"repository"`
}

func (r Ref) String() string { return r.Source + " in " + r.Repository }

// rowsAtOnce is how many objects one transaction takes: so many are a fraction of a second, and other writers wait no
// longer.
const rowsAtOnce = 20_000

// Sync brings a holding up to date with what its ledger says, and keeps what is known of when each object was read. What
// is new costs its own number, dropped objects a pass over all. Facts that are older than what was synced before are
// ignored. Calls for one holding take turns: each goes on where the last one ended.
func (c *Catalog) Sync(ctx context.Context, ref Ref, f repository.Facts) error {
	defer c.turn(ref)()
	if err := c.sync(ctx, ref, f); err != nil {
		return fmt.Errorf("sync %s: %w", ref, err)
	}
	return nil
}

// turn waits until nobody else writes the objects of a holding; done ends it.
func (c *Catalog) turn(ref Ref) (done func()) {
	mine, _ := c.turns.LoadOrStore(ref, new(sync.Mutex))
	mine.(*sync.Mutex).Lock()
	return mine.(*sync.Mutex).Unlock
}

// synced is how far a holding is.
type synced struct {
	id         int64
	origin     string
	leaves     int64
	checkpoint uint64
	time       int64
	listed     int64
}

func (c *Catalog) sync(ctx context.Context, ref Ref, f repository.Facts) error {
	was, err := c.synced(ctx, ref)
	if err != nil {
		return err
	}
	listed, origin := count(f.Objects)
	anew := was.origin != origin || f.Head.Size < was.leaves
	switch {
	case f.Head.Number < was.checkpoint && was.time >= stamp(f.Head.Time):
		return nil
	case anew:
		// Another repository lies there now.
		was.leaves, was.listed = 0, 0
	}
	// What a sync before left half done is done again.
	if err := c.clear(ctx, was, anew); err != nil {
		return err
	}
	added := since(f.Objects, was.leaves)
	if was.listed+int64(len(added)) != listed {
		missing, err := c.drop(ctx, was.id, f.Objects, was.leaves)
		if err != nil {
			return err
		}
		added = append(missing, added...)
	}
	if err := c.add(ctx, was.id, added, ages(f, added)); err != nil {
		return err
	}
	return c.sumUp(ctx, was.id, origin, listed, f)
}

// synced returns how far a holding is; one that is new is made.
func (c *Catalog) synced(ctx context.Context, ref Ref) (s synced, err error) {
	err = c.update(ctx, "look up holding", func(tx *sql.Tx) error {
		s, err = holding(ctx, tx, ref)
		return err
	})
	return s, err
}

func holding(ctx context.Context, tx *sql.Tx, ref Ref) (s synced, err error) {
	read := func() error {
		return tx.QueryRowContext(ctx, "SELECT id, origin, leaves, checkpoint, checkpoint_time, listed FROM holding WHERE source = ? AND repository = ?",
			ref.Source, ref.Repository).Scan(&s.id, &s.origin, &s.leaves, &s.checkpoint, &s.time, &s.listed)
	}
	if err = read(); !errors.Is(err, sql.ErrNoRows) {
		return s, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO holding (source, repository, engine, origin, checkpoint, leaves, checkpoint_time, whole_position,
		whole_time, listed, bytes, bases, segments, tips, reports, last_base, synced)
		VALUES (?, ?, '', '', 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0, '', 0)`, ref.Source, ref.Repository)
	if err == nil {
		err = read()
	}
	return s, err
}

// count counts the objects that have a leaf, and returns the digest of the first, which tells one repository from another:
// it is a key object, and those stay.
func count(all []repository.Object) (n int64, origin string) {
	first := int64(math.MaxInt64)
	for _, o := range all {
		if o.Leaf < 0 {
			continue
		}
		if n++; o.Leaf < first {
			first, origin = o.Leaf, o.SHA256
		}
	}
	return n, origin
}

// since are the objects from a leaf on, by leaf: rows that are added in order go to the end of the table.
func since(all []repository.Object, leaf int64) []repository.Object {
	var list []repository.Object
	for _, o := range all {
		if o.Leaf >= leaf {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b repository.Object) int { return cmp.Compare(a.Leaf, b.Leaf) })
	return list
}

func (c *Catalog) clear(ctx context.Context, s synced, anew bool) error {
	return c.update(ctx, "clear objects", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM object WHERE holding = ? AND leaf >= ?", s.id, s.leaves)
		if err == nil && anew {
			_, err = tx.ExecContext(ctx, "UPDATE holding SET leaves = 0, listed = 0, checkpoint = 0 WHERE id = ?", s.id)
		}
		return err
	})
}

// drop removes the objects before leaf that are not listed any more. It returns those that are listed and not here: there
// are none, unless the catalog is not what it should be.
func (c *Catalog) drop(ctx context.Context, holding int64, listed []repository.Object, leaf int64) (missing []repository.Object, err error) {
	absent := make(map[int64]bool, len(listed))
	for _, o := range listed {
		if o.Leaf >= 0 && o.Leaf < leaf {
			absent[o.Leaf] = true
		}
	}
	var gone []int64
	err = c.query(ctx, "read objects", func(scan func(...any) error) error {
		var leaf int64
		err := scan(&leaf)
		if absent[leaf] {
			delete(absent, leaf)
		} else {
			gone = append(gone, leaf)
		}
		return err
	}, "SELECT leaf FROM object WHERE holding = ?", holding)
	if err == nil {
		// If this does not come to its end the next sync compares all again.
		err = c.update(ctx, "drop objects", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE holding SET listed = -1 WHERE id = ?", holding)
			return err
		})
	}
	for part := range slices.Chunk(gone, rowsAtOnce) {
		if err != nil {
			break
		}
		err = c.update(ctx, "drop objects", func(tx *sql.Tx) error {
			return prepared(ctx, tx, "DELETE FROM object WHERE holding = ? AND leaf = ?", func(exec func(...any) error) error {
				for _, leaf := range part {
					if err := exec(holding, leaf); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	for _, o := range listed {
		if absent[o.Leaf] {
			missing = append(missing, o)
		}
	}
	return missing, err
}

// add inserts new objects. What was just written is as good as what was just read.
func (c *Catalog) add(ctx context.Context, holding int64, added []repository.Object, age map[string]time.Time) error {
	for part := range slices.Chunk(added, rowsAtOnce) {
		err := c.update(ctx, "add objects", func(tx *sql.Tx) error {
			return prepared(ctx, tx, "INSERT INTO object (holding, leaf, name, kind, size, good, good_deep, was_read, damage) VALUES (?, ?, ?, ?, ?, ?, ?, 0, '')",
				func(exec func(...any) error) error {
					for _, o := range part {
						good := stamp(age[o.Name])
						if err := exec(holding, o.Leaf, o.Name, string(o.Kind), o.Size, good, good); err != nil {
							return err
						}
					}
					return nil
				})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// prepared gives use a statement.
func prepared(ctx context.Context, tx *sql.Tx, text string, use func(exec func(...any) error) error) error {
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	return use(func(args ...any) error {
		_, err := stmt.ExecContext(ctx, args...)
		return err
	})
}

// ages says when each of the added objects was written, as near as the ledger tells.
func ages(f repository.Facts, added []repository.Object) map[string]time.Time {
	if len(added) == 0 {
		return nil
	}
	age := make(map[string]time.Time, len(added))
	for _, o := range added {
		age[o.Name] = f.Head.Time
	}
	note := func(name string, at time.Time) {
		if _, ok := age[name]; ok && at.Before(f.Head.Time) && !at.IsZero() {
			age[name] = at
		}
	}
	for _, s := range f.History.Segments {
		note(s.Name, s.Until)
	}
	for _, b := range f.History.Bases {
		note("base/"+b.ID+"/manifest", b.StopTime)
	}
	for _, r := range f.Reports {
		if at, err := time.Parse(time.RFC3339Nano, r.Time); err == nil {
			note(r.Name, at)
		}
	}
	return age
}

// sumUp writes the row that sums the holding up, and its bases.
func (c *Catalog) sumUp(ctx context.Context, holding int64, origin string, listed int64, f repository.Facts) error {
	segments, tips := 0, 0
	for _, s := range f.History.Segments {
		if s.Tip {
			tips++
		} else {
			segments++
		}
	}
	last := ""
	if len(f.History.Bases) > 0 {
		newest := slices.MaxFunc(f.History.Bases, func(a, b history.Base) int { return a.StopTime.Compare(b.StopTime) })
		body, err := json.Marshal(newest)
		if err != nil {
			return fmt.Errorf("encode base %s: %w", newest.ID, err)
		}
		last = string(body)
	}
	return c.update(ctx, "sum up", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM base WHERE holding = ?", holding); err != nil {
			return err
		}
		for _, b := range f.History.Bases {
			body, err := json.Marshal(b)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO base (holding, id, stop_time, body) VALUES (?, ?, ?, ?)", holding, b.ID, stamp(b.StopTime), string(body)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE holding SET engine = ?, origin = ?, checkpoint = ?, leaves = ?, checkpoint_time = ?, whole_position = ?, whole_time = ?,
			listed = ?, bytes = ?, bases = ?, segments = ?, tips = ?, reports = ?, last_base = ?, synced = ?,
			damaged = (SELECT count(*) FROM object INDEXED BY object_damage WHERE holding = ? AND damage <> '') WHERE id = ?`,
			f.History.Engine, origin, int64(f.Head.Number), f.Head.Size, stamp(f.Head.Time), f.Head.Whole.Position.String(), stamp(f.Head.Whole.Time),
			listed, f.StoredBytes, len(f.History.Bases), segments, tips, len(f.Reports), last, stamp(time.Now()), holding, holding)
		return err
	})
}

// Forget removes what is kept of a holding, but not its runs and drills.
func (c *Catalog) Forget(ctx context.Context, ref Ref) error {
	defer c.turn(ref)()
	err := c.update(ctx, "delete rows", func(tx *sql.Tx) error {
		const id = "(SELECT id FROM holding WHERE source = ? AND repository = ?)"
		for _, text := range []string{"DELETE FROM object WHERE holding = " + id, "DELETE FROM base WHERE holding = " + id,
			"DELETE FROM position WHERE holding = " + id, "DELETE FROM holding WHERE id = " + id} {
			if _, err := tx.ExecContext(ctx, text, ref.Source, ref.Repository); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget %s: %w", ref, err)
	}
	return nil
}

// Bases are the bases of a holding, oldest first.
func (c *Catalog) Bases(ctx context.Context, ref Ref) ([]history.Base, error) {
	var list []history.Base
	err := c.query(ctx, "read bases of "+ref.String(), func(scan func(...any) error) error {
		var body string
		if err := scan(&body); err != nil {
			return err
		}
		var b history.Base
		if err := json.Unmarshal([]byte(body), &b); err != nil {
			return err
		}
		list = append(list, b)
		return nil
	}, "SELECT b.body FROM base b JOIN holding h ON h.id = b.holding WHERE h.source = ? AND h.repository = ? ORDER BY b.stop_time, b.id", ref.Source, ref.Repository)
	return list, err
}
