package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/process"
)

const comparesAtOnce = 4

// unit is what is read and judged together: an object that the ledger lists, and with a manifest its packs and maps.
type unit struct {
	o      Object
	damage []Damage
}

// units are what is to be read, in order.
func (c *checker) units(todo []Object) []*unit {
	var units []*unit
	c.spared, c.bases, c.segments = map[string]bool{}, map[string]int64{}, map[string]history.Segment{}
	for _, b := range c.hist.Bases {
		c.bases[manifestName(b.ID)] = b.StoredBytes
	}
	for _, s := range c.hist.Segments {
		c.segments[s.Name] = s
	}
	if c.o.Only == nil {
		for _, o := range todo {
			units = append(units, &unit{o: o})
			c.total += c.sizeOf(o)
		}
		return units
	}
	byName := map[string]Object{}
	for _, o := range todo {
		byName[o.Name] = o
		if o.Kind == Base {
			c.spared[sweepUnit(o.Name)] = true
		}
	}
	for _, name := range c.o.Only {
		if o, ok := byName[name]; ok { // else it was dropped meanwhile
			units = append(units, &unit{o: o})
			c.total += c.sizeOf(o)
			delete(c.spared, sweepUnit(name))
		}
	}
	return units
}

// sizeOf is how much there is to read, of a base all that belongs to it.
func (c *checker) sizeOf(o Object) int64 { return max(o.Size, c.bases[o.Name]) }

// read reads the units and compares them with what is listed. Small ones are read several at once, and so are the parts of a
// base.
func (c *checker) read(ctx context.Context, units []*unit) error {
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(comparesAtOnce)
	for i, u := range units {
		if reading.Err() != nil {
			break
		}
		if i > 0 && !c.o.Until.IsZero() && !c.r.o.Now().Before(c.o.Until) {
			c.left(units[i:])
			break
		}
		if u.o.Kind == Base {
			if err := c.readBase(ctx, u); err != nil {
				return errors.Join(err, g.Wait())
			}
			continue
		}
		g.Go(func() error { process.YieldFor(reading); return c.readOne(reading, u) })
	}
	return g.Wait()
}

// left notes what is not read. Of bases nobody knows which objects belong to them.
func (c *checker) left(units []*unit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Left = len(units)
	for _, u := range units {
		if u.o.Kind == Base {
			c.spared[sweepUnit(u.o.Name)] = true
		}
	}
}

// readOne reads an object that stands for itself.
func (c *checker) readOne(ctx context.Context, u *unit) error {
	if err := c.compare(ctx, u, u.o); err != nil {
		return err
	}
	if s, ok := c.segments[u.o.Name]; ok && c.o.Deep && len(u.damage) == 0 {
		if err := c.content(ctx, u, u.o.Name, c.deepSegment(ctx, s)); err != nil {
			return err
		}
	}
	c.ended(u)
	return nil
}

// readBase reads a base: its manifest, and what that lists.
func (c *checker) readBase(ctx context.Context, u *unit) error {
	parts, err := c.manifest(ctx, u)
	if err != nil {
		return err
	}
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(comparesAtOnce)
	for _, o := range parts {
		c.listed[c.r.object(o.Name)] = true
		g.Go(func() error { process.YieldFor(reading); return c.compare(reading, u, o) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if c.o.Deep && len(parts) > 0 {
		if err := c.deepBase(ctx, u); err != nil {
			return err
		}
	}
	c.ended(u)
	return nil
}

// manifest reads and compares the manifest of a base, and returns the objects that it lists; none if it is damaged, and what lies
// in the folder of the base is then no orphan.
func (c *checker) manifest(ctx context.Context, u *unit) ([]Object, error) {
	raw, err := c.r.readListed(ctx, u.o)
	c.count(int64(len(raw)))
	c.mu.Lock()
	c.report.Objects++
	c.mu.Unlock()
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		c.spared[sweepUnit(u.o.Name)] = true
		return nil, c.damaged(ctx, u, u.o, corrupt)
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(raw, strings.TrimPrefix(sweepUnit(u.o.Name), "base/"))
	if err != nil {
		c.spared[sweepUnit(u.o.Name)] = true
		c.addTo(u, Damage{Object: c.r.object(u.o.Name), Kind: BadContent, Detail: err.Error(), Affects: c.affects(u.o.Name)})
		return nil, nil
	}
	return m.parts(), nil
}

// compare reads one object and compares it with what is listed.
func (c *checker) compare(ctx context.Context, u *unit, o Object) error {
	err := c.r.hashListed(ctx, o, c.count)
	c.mu.Lock()
	c.report.Objects++
	c.mu.Unlock()
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		return err
	}
	return c.damaged(ctx, u, o, corrupt)
}

// addTo notes damage of a unit.
func (c *checker) addTo(u *unit, d Damage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Damage, u.damage = append(c.report.Damage, d), append(u.damage, d)
}

// ended tells that a unit was read to its end.
func (c *checker) ended(u *unit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.Read == nil {
		return
	}
	detail := ""
	if len(u.damage) > 0 {
		detail = u.damage[0].Detail
		if n := len(u.damage) - 1; n > 0 {
			detail = fmt.Sprintf("%s, and %d more", detail, n)
		}
	}
	c.o.Read(u.o, detail)
}
