package app

import (
	"context"
	"errors"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/repository"
)

// Check reads the repository and compares everything with its signed log.
func (o OpenRepository) Check(ctx context.Context, deep bool, progress func(done, total int64)) (api.Check, error) {
	out := api.Check{Source: o.Repo.Source(), Repository: o.Name, Deep: deep, Checkpoint: o.Facts.Head.Number, Damage: []api.Damage{}}
	if deep && !o.Repo.CanRead() {
		return out, &KeyError{Err: errors.New("a deep check needs a key that can read, and none is at hand"), Advice: "name its file with --key; it can be read with the key of " + readers(o)}
	}
	r, err := o.Repo.Check(ctx, repository.CheckOptions{Deep: deep, Progress: progress})
	if err != nil {
		return out, storeError(o.Store, err)
	}
	out.Objects, out.Bytes = r.Objects, r.Bytes
	for _, d := range r.Damage {
		out.Damage = append(out.Damage, api.Damage{Object: d.Object, Kind: string(d.Kind), Detail: d.Detail, Want: d.Want, Got: d.Got, Affects: d.Affects})
	}
	return out, nil
}

// Keys says who can read, and what those who could once still can.
func (o OpenRepository) Keys(ctx context.Context) (api.Keys, error) {
	k := o.Facts.Keys
	out := api.Keys{
		Source: o.Repo.Source(), Repository: o.Name, Number: k.Number, Created: k.Created, Recipient: k.Recipient,
		Readers: []api.Reader{}, Signers: k.Signers, Authenticated: k.Authenticated,
	}
	for _, r := range k.Readers {
		out.Readers = append(out.Readers, api.Reader(r))
	}
	withdrawn, err := o.Repo.Withdrawn(ctx)
	for _, w := range withdrawn {
		out.Withdrawn = append(out.Withdrawn, api.Withdrawn{Name: w.Name, Recipient: w.Recipient, Since: w.Since, Rotated: w.Rotated, Bases: w.Bases, Objects: w.Objects, Bytes: w.Bytes, Newest: w.Newest})
	}
	return out, err
}
