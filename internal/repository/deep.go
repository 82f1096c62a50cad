package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/history"
)

// deepBase decrypts and decodes a base. It is claimed for the time.
func (c *checker) deepBase(ctx context.Context, u *unit) error {
	b := history.Base{ID: strings.TrimPrefix(sweepUnit(u.o.Name), "base/")}
	found := map[string]bool{}
	for _, d := range u.damage {
		found[d.Object] = true
	}
	release, err := c.r.Hold(ctx, history.Chain{Base: b}, "deep check")
	if err != nil {
		return c.content(ctx, u, u.o.Name, err)
	}
	defer release()
	r, err := c.r.OpenBase(ctx, b.ID)
	if err != nil {
		return c.content(ctx, u, u.o.Name, err)
	}
	defer r.Close()
	report, err := r.Verify(ctx, nil)
	if err != nil {
		return c.content(ctx, u, u.o.Name, err)
	}
	for _, d := range report.Damage {
		object := c.r.object(baseFolder(b.ID) + d.Object)
		detail := d.Detail
		if d.File != "" {
			detail = fmt.Sprintf("%s: bytes %d to %d of %s", d.Detail, d.Offset, d.Offset+d.Length, d.File)
		}
		affects := c.affects(baseFolder(b.ID))
		if found[object] {
			affects = fmt.Sprintf("%s of base %s", d.File, b.ID)
		}
		c.addTo(u, Damage{Object: object, Kind: BadContent, Want: d.Want, Got: d.Got, Detail: detail, Affects: affects})
	}
	return nil
}

// deepSegment reads every entry and every mark.
func (c *checker) deepSegment(ctx context.Context, s history.Segment) (err error) {
	seg, err := c.r.OpenSegment(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, seg.Close()) }()
	for _, e := range seg.Entries() {
		body, err := seg.Read(ctx, e)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, body)
		if err = errors.Join(err, body.Close()); err != nil {
			return err
		}
		if n != e.Size {
			return &CorruptError{Object: c.r.object(s.Name), Detail: "size of " + e.File, Want: fmt.Sprint(e.Size), Got: fmt.Sprint(n)}
		}
	}
	for _, err := range seg.Marks(ctx) {
		if err != nil {
			return err
		}
	}
	return nil
}

// content notes an error that shows damage and returns any other.
func (c *checker) content(ctx context.Context, u *unit, name string, err error) error {
	var corrupt *CorruptError
	var unlisted *UnlistedError
	var noMatch *age.NoIdentityMatchError
	d := Damage{Object: c.r.object(name), Kind: BadContent, Affects: c.affects(name)}
	switch {
	case errors.As(err, &unlisted): // a tip, or a base, that was dropped meanwhile
		return nil
	case errors.As(err, &corrupt):
		if corrupt.Err != nil && !c.stands(ctx, name) {
			return nil // it was dropped meanwhile
		}
		d.Detail, d.Want, d.Got = corrupt.Detail, corrupt.Want, corrupt.Got
		if strings.HasPrefix(corrupt.Object, c.r.source+"/") { // the parts of a base have short names
			d.Object = corrupt.Object
		}
	case errors.As(err, &noMatch):
		d.Detail = "it is not sealed to an identity of this source"
	default:
		return err
	}
	c.addTo(u, d)
	return nil
}
