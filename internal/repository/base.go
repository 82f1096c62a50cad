package repository

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/store"
)

// manifest is the object that makes a base exist.
type manifest struct {
	Format int          `json:"format"`
	Base   history.Base `json:"base"`
	pack.Contents
}

func baseFolder(id string) string { return "base/" + id + "/" }

func manifestName(id string) string { return baseFolder(id) + "manifest" }

// parts are the packs and maps as objects.
func (m *manifest) parts() []Object {
	var list []Object
	for _, parts := range [][]pack.Part{m.Packs, m.Maps} {
		for _, p := range parts {
			list = append(list, Object{Name: baseFolder(m.Base.ID) + p.Name, Kind: Base, Size: p.Size, SHA256: p.SHA256})
		}
	}
	return list
}

// names are those of all objects of the base.
func (m *manifest) names() []string {
	names := []string{manifestName(m.Base.ID)}
	for _, p := range m.parts() {
		names = append(names, p.Name)
	}
	return names
}

// encode returns the manifest with the size of all objects, itself included, in it.
func (m *manifest) encode() ([]byte, error) {
	parts := int64(0)
	for _, p := range m.parts() {
		parts += p.Size
	}
	m.Base.StoredBytes = 0
	for {
		b, err := json.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encode manifest: %w", err)
		}
		// The size has more digits once it is in; then it stays.
		total := parts + int64(len(b))
		if m.Base.StoredBytes >= total {
			return b, nil
		}
		m.Base.StoredBytes = total
	}
}

func parseManifest(b []byte, id string) (*manifest, error) {
	m := &manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("parse manifest of base %s: %w", id, err)
	}
	if m.Format != 0 {
		return nil, fmt.Errorf("parse manifest of base %s: format %d is not known to this version", id, m.Format)
	}
	if m.Base.ID != id {
		return nil, fmt.Errorf("parse manifest of base %s: it belongs to base %q", id, m.Base.ID)
	}
	for _, p := range m.parts() {
		if err := store.ValidName(p.Name); err != nil || p.Size < 0 || strings.Count(p.Name, "/") != 2 {
			return nil, fmt.Errorf("parse manifest of base %s: it names an object %q of %d bytes", id, p.Name, p.Size)
		}
	}
	return m, nil
}

// manifestOf reads the manifest of a listed base.
func (r *Repository) manifestOf(ctx context.Context, id string) (*manifest, error) {
	o, err := r.find(ctx, manifestName(id))
	if err != nil {
		return nil, err
	}
	b, err := r.readListed(ctx, o)
	if err != nil {
		return nil, err
	}
	return parseManifest(b, id)
}

// BaseWriter takes a base into the repository: it is an engine.BaseSink. Nothing counts before Commit; after an error,
// or instead of Commit, Abort removes what was written.
type BaseWriter struct {
	r      *Repository
	id     string
	w      *pack.BaseWriter // nil where the parts are made by somebody else
	create func(name string) (store.File, error)
	stored atomic.Int64
	names  []string // of objects begun
	ended  bool
}

// NewBase begins a base. ctx is for all that is written.
func (r *Repository) NewBase(ctx context.Context) (*BaseWriter, error) {
	if r.signer == nil {
		return nil, fmt.Errorf("take base of %s: the repository is opened for reading only", r.source)
	}
	keys := r.ring()
	recipient, err := age.ParseX25519Recipient(keys.current.Recipient)
	if err != nil {
		return nil, fmt.Errorf("take base of %s: recipient in key object %d: %w", r.source, keys.current.Number, err)
	}
	o := pack.BaseOptions{Recipients: []age.Recipient{recipient}}
	if keys.secret != nil {
		o.DigestKey = keys.secret.digestKey
	} else if _, err := rand.Read(o.DigestKey[:]); err != nil {
		return nil, fmt.Errorf("take base of %s: %w", r.source, err)
	}
	w := &BaseWriter{r: r, id: nameBase(r.o.Now().UTC().Format("20060102T150405Z"))}
	// An object lives longer than the part of the packer that begins it, so it has the context of the whole base.
	w.create = func(name string) (store.File, error) { return createFile(ctx, r.store, name) }
	w.w = pack.NewBaseWriter(ctx, w, o)
	return w, nil
}

// nameBase makes a name that no other base has, from when it began.
func nameBase(began string) string { return began + "-" + strings.ToLower(rand.Text()[:6]) }

// ID is what the base will be called.
func (w *BaseWriter) ID() string { return w.id }

// Put implements engine.BaseSink.
func (w *BaseWriter) Put(ctx context.Context, f engine.File, r io.Reader) error {
	return w.w.Put(ctx, f, r)
}

// Stored is how many bytes were written to the store so far. It may be called from any goroutine.
func (w *BaseWriter) Stored() int64 { return w.stored.Load() }

// Next implements pack.Output.
func (w *BaseWriter) Next(_ context.Context, name string) (store.File, error) {
	full := w.r.object(baseFolder(w.id) + name)
	f, err := w.create(full)
	if err != nil {
		return nil, err
	}
	w.names = append(w.names, full)
	return &countedFile{f, &w.stored}, nil
}

// Commit makes the base exist. base is what the engine said; ID and StoredBytes are filled in.
func (w *BaseWriter) Commit(ctx context.Context, base history.Base) (history.Base, error) {
	if w.ended {
		return base, fmt.Errorf("commit base %s: it has ended", w.id)
	}
	contents, err := w.w.Finish(ctx)
	if err != nil {
		return base, err
	}
	base.ID = w.id
	if base.Type == "" {
		base.Type = history.Full
	}
	if base.Bytes == 0 {
		base.Bytes = contents.Bytes
	}
	m := &manifest{Base: base, Contents: contents}
	err = w.list(ctx, m)
	return m.Base, err
}

// list makes a base exist whose packs and maps are stored.
func (w *BaseWriter) list(ctx context.Context, m *manifest) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	name := w.r.object(manifestName(w.id))
	if err := putBytes(ctx, w.r.store, name, b); err != nil {
		return fmt.Errorf("commit base %s: %w", w.id, err)
	}
	w.names = append(w.names, name)
	killpoint.At(killpoint.BaseManifest)
	if err := w.r.protect(ctx, m.names()...); err != nil {
		return fmt.Errorf("commit base %s: %w", w.id, err)
	}
	if err := w.r.listBase(ctx, m.Base, b); err != nil {
		return err
	}
	w.ended = true
	killpoint.At(killpoint.BaseCommitted)
	return nil
}

// listBase appends the leaf of a base whose manifest is stored.
func (r *Repository) listBase(ctx context.Context, base history.Base, encoded []byte) error {
	size, sum := digest(encoded)
	name := manifestName(base.ID)
	body, err := ledger.Body(base)
	if err != nil {
		return err
	}
	_, err = r.append(ctx, func(head ledger.Checkpoint) (ledger.Change, error) {
		if r.fold.objects[name].SHA256 == sum {
			return ledger.Change{}, ledger.ErrNoChange
		}
		if r.fold.dropped[name] {
			return ledger.Change{}, errDropped
		}
		if _, stands := r.fold.bases[manifestName(base.Parent)]; base.Parent != "" && !stands {
			return ledger.Change{}, fmt.Errorf("base %s, which it builds on: %w", base.Parent, errNoParent)
		}
		return ledger.Change{Tips: head.Tips, Leaves: []ledger.Leaf{{Kind: string(Base), Name: name, Size: size, SHA256: sum, Body: body}}}, nil
	})
	if err != nil {
		return fmt.Errorf("commit base %s: %w", base.ID, err)
	}
	return nil
}

// Abort gives the base up and removes its objects. After Commit it does nothing. If the outcome of a Commit is not
// known the base may exist: it is then left alone.
func (w *BaseWriter) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	var err error
	if w.w != nil {
		err = w.w.Abort()
	}
	if len(w.names) > 0 && strings.HasSuffix(w.names[len(w.names)-1], "/manifest") {
		exists := w.r.ledger.View(ctx, func(ledger.Checkpoint, []ledger.Ignored) error {
			if _, ok := w.r.fold.objects[manifestName(w.id)]; ok {
				return errExists
			}
			return nil
		})
		if errors.Is(exists, errExists) {
			return nil
		}
		if exists != nil {
			return errors.Join(err, exists)
		}
	}
	for i := len(w.names) - 1; i >= 0; i-- { // the manifest first
		err = errors.Join(err, w.r.store.Delete(ctx, w.names[i]))
	}
	return err
}
