package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/backstaydb/backstay/internal/repository"
)

// Check is what a check read, and how it found it.
type Check struct {
	Time    time.Time // when it began: what was written since is not part of it
	Deep    bool      // all was decrypted and decoded, not only compared with its digest
	Objects []repository.Object
	All     bool     // everything that was listed at Time was read; Objects is not used
	Damaged []Damage // the objects among them that are not as they must be
}

// Damage is one damaged object.
type Damage struct {
	Object repository.Object
	Detail string
}

// Due asks for the objects that should be read next.
type Due struct {
	Deep   bool
	Before time.Time // those that were last known to be good before; zero: any
	Limit  int       // at most so many objects; 0: 1,000
	Bytes  int64     // and so many bytes, but one object at least; 0: any
}

// Aged is an object, when it was last known to be good, and when it was last read. What was never read was good when it
// was written. It has no digest: what an object must be is asked of the signed ledger, not of an index.
type Aged struct {
	repository.Object
	Good   time.Time
	Read   time.Time // zero: never
	Damage string    // "" if it was good then
}

// Due returns the objects that were not known to be good for the longest time, oldest first. Those that are damaged come
// with their age too: they are read again until they are repaired. The size of a base is that of its manifest; its packs
// are what the base in Bases says.
func (c *Catalog) Due(ctx context.Context, ref Ref, d Due) ([]Aged, error) {
	column := "good"
	if d.Deep {
		column = "good_deep"
	}
	before, limit, bytes := int64(math.MaxInt64), 1000, int64(math.MaxInt64)
	if !d.Before.IsZero() {
		before = stamp(d.Before)
	}
	if d.Limit > 0 {
		limit = d.Limit
	}
	if d.Bytes > 0 {
		bytes = d.Bytes
	}
	var list []Aged
	err := c.query(ctx, "read what is due in "+ref.String(), func(scan func(...any) error) error {
		var a Aged
		var good, read int64
		if err := scan(&a.Leaf, &a.Name, &a.Kind, &a.Size, &good, &read, &a.Damage); err != nil {
			return err
		}
		a.Good, a.Read = moment(good), moment(read)
		if bytes -= a.Size; bytes >= 0 || len(list) == 0 {
			list = append(list, a)
		}
		return nil
	}, `SELECT o.leaf, o.name, o.kind, o.size, o.`+column+`, o.was_read, o.damage FROM object o
		WHERE o.holding = (SELECT id FROM holding WHERE source = ? AND repository = ?) AND o.`+column+` < ? ORDER BY o.`+column+` LIMIT ?`,
		ref.Source, ref.Repository, before, limit)
	return list, err
}

// Oldest says at which time or later every object of a holding was known to be good, and the same of deep checks. What is
// damaged is left out: Damaged has it. Both are zero where nothing is listed.
func (c *Catalog) Oldest(ctx context.Context, ref Ref) (shallow, deep time.Time, err error) {
	err = c.query(ctx, "read the ages in "+ref.String(), func(scan func(...any) error) error {
		var good, goodDeep int64
		err := scan(&good, &goodDeep)
		shallow, deep = moment(good), moment(goodDeep)
		return err
	}, `SELECT coalesce((SELECT good FROM object o WHERE o.holding = h.id AND o.damage = '' ORDER BY good LIMIT 1), 0),
		coalesce((SELECT good_deep FROM object o WHERE o.holding = h.id AND o.damage = '' ORDER BY good_deep LIMIT 1), 0)
		FROM holding h WHERE source = ? AND repository = ?`, ref.Source, ref.Repository)
	return shallow, deep, err
}

// Checked notes what a check read. A deep one counts as a plain one too. An object that is damaged keeps the time at which
// it was last good.
func (c *Catalog) Checked(ctx context.Context, ref Ref, k Check) error {
	if err := c.checked(ctx, ref, k); err != nil {
		return fmt.Errorf("note the check of %s: %w", ref, err)
	}
	return nil
}

func (c *Catalog) checked(ctx context.Context, ref Ref, k Check) error {
	s, err := c.synced(ctx, ref)
	if err != nil {
		return err
	}
	damaged := map[int64]string{}
	for _, d := range k.Damaged {
		damaged[d.Object.Leaf] = d.Detail
	}
	now := stamp(k.Time)
	if k.All {
		// In pieces, so that nobody waits long for a million rows.
		for from := int64(0); from < s.leaves && err == nil; from += rowsAtOnce {
			err = c.update(ctx, "update objects", func(tx *sql.Tx) error {
				if err := c.goodRange(ctx, tx, s.id, from, min(from+rowsAtOnce, s.leaves), now, k.Deep, damaged); err != nil {
					return err
				}
				return c.bad(ctx, tx, s.id, now, from, from+rowsAtOnce, damaged)
			})
		}
	} else {
		err = c.update(ctx, "update objects", func(tx *sql.Tx) error {
			for _, o := range k.Objects {
				if _, bad := damaged[o.Leaf]; bad {
					continue
				}
				if err := c.goodRange(ctx, tx, s.id, o.Leaf, o.Leaf+1, now, k.Deep, nil); err != nil {
					return err
				}
			}
			return c.bad(ctx, tx, s.id, now, 0, math.MaxInt64, damaged)
		})
	}
	if err != nil {
		return err
	}
	return c.update(ctx, "count damage", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE holding SET damaged = (SELECT count(*) FROM object INDEXED BY object_damage WHERE holding = ? AND damage <> '') WHERE id = ?", s.id, s.id)
		return err
	})
}

// goodRange notes that the objects of the leaves from..to are good, apart from those in damaged, and those that were written since.
func (c *Catalog) goodRange(ctx context.Context, tx *sql.Tx, holding, from, to, now int64, deep bool, damaged map[int64]string) error {
	set := "good = max(good, ?1), was_read = max(was_read, ?1), damage = ''"
	if deep {
		set += ", good_deep = max(good_deep, ?1)"
	}
	update := func(from, to int64) error {
		if from >= to {
			return nil
		}
		_, err := tx.ExecContext(ctx, "UPDATE object SET "+set+" WHERE holding = ?2 AND leaf >= ?3 AND leaf < ?4 AND was_read <= ?1 AND good <= ?1", now, holding, from, to)
		return err
	}
	for leaf := range sortedKeys(damaged) {
		if leaf < from || leaf >= to {
			continue
		}
		if err := update(from, leaf); err != nil {
			return err
		}
		from = leaf + 1
	}
	return update(from, to)
}

// bad notes the damaged ones of the leaves from..to.
func (c *Catalog) bad(ctx context.Context, tx *sql.Tx, holding, now, from, to int64, damaged map[int64]string) error {
	for leaf := range sortedKeys(damaged) {
		if leaf < from || leaf >= to {
			continue
		}
		detail := damaged[leaf]
		if detail == "" {
			detail = "damaged"
		}
		if _, err := tx.ExecContext(ctx, "UPDATE object SET damage = ?, was_read = max(was_read, ?) WHERE holding = ? AND leaf = ? AND was_read <= ?", detail, now, holding, leaf, now); err != nil {
			return err
		}
	}
	return nil
}

// Damaged are the objects of a holding that the last reading found damaged.
func (c *Catalog) Damaged(ctx context.Context, ref Ref) ([]Aged, error) {
	var list []Aged
	err := c.query(ctx, "read the damage in "+ref.String(), func(scan func(...any) error) error {
		var a Aged
		var good, read int64
		err := scan(&a.Leaf, &a.Name, &a.Kind, &a.Size, &good, &read, &a.Damage)
		a.Good, a.Read = moment(good), moment(read)
		list = append(list, a)
		return err
	}, `SELECT leaf, name, kind, size, good, was_read, damage FROM object INDEXED BY object_damage
		WHERE holding = (SELECT id FROM holding WHERE source = ? AND repository = ?) AND damage <> '' ORDER BY leaf`, ref.Source, ref.Repository)
	return list, err
}
