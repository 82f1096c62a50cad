package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/ledger"
)

// Repaired is what became of a list of damages.
type Repaired struct {
	Objects []string `json:"objects"` // that are as listed again, by their names in the store
	Bytes   int64    `json:"bytes"`
	Left    []Left   `json:"left"` // that are not, and why
}

// Repair replaces damaged objects by copies from another repository of this source, byte for byte and as the ledger here
// lists them; it needs no key. damage is what Check found; of each object it is looked at once more whether it is damaged, and
// nothing is deleted here before the copy was read from there and found right. What the bytes cannot mend is Left: objects
// that are as listed and yet do not open, and those of the ledger.
//
// It may be repeated after an error or a kill: between deletion and copy an object is missing, and then it is just copied.
func (r *Repository) Repair(ctx context.Context, from *Repository, damage []Damage) (Repaired, error) {
	if r.signer == nil {
		return Repaired{}, fmt.Errorf("repair %s: the repository is opened for reading only", r.source)
	}
	p := &repairer{r: r, from: from, tried: map[string]bool{}}
	for _, d := range inOrder(damage) {
		if err := p.repair(ctx, d); err != nil {
			return p.result, fmt.Errorf("repair %s: %w", d.Object, err)
		}
	}
	return p.result, nil
}

type repairer struct {
	r, from *Repository
	tried   map[string]bool
	result  Repaired
}

// inOrder puts manifests first: they list the other objects of a base.
func inOrder(damage []Damage) []Damage {
	sorted := slices.Clone(damage)
	slices.SortStableFunc(sorted, func(a, b Damage) int {
		return boolCompare(strings.HasSuffix(b.Object, "/manifest"), strings.HasSuffix(a.Object, "/manifest"))
	})
	return sorted
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (p *repairer) leave(d Damage, why string) {
	p.result.Left = append(p.result.Left, Left{Name: d.Object, Why: why})
}

func (p *repairer) repair(ctx context.Context, d Damage) error {
	name, own := strings.CutPrefix(d.Object, p.r.source+"/")
	if !own || p.tried[name] {
		return nil
	}
	if d.Kind != Missing && d.Kind != Altered && d.Kind != BadContent && d.Kind != BadKey {
		p.leave(d, fmt.Sprintf("damage of the kind %q is not in an object that could be copied", d.Kind))
		return nil
	}
	p.tried[name] = true
	o, err := p.listed(ctx, name)
	var unlisted *UnlistedError
	var corrupt *CorruptError
	switch {
	case errors.As(err, &unlisted):
		p.leave(d, "no checkpoint lists it: it was dropped meanwhile, or never counted")
		return nil
	case errors.As(err, &corrupt):
		p.leave(d, "the manifest that lists it is damaged: "+corrupt.Detail)
		return nil
	case err != nil:
		return err
	}
	return p.replace(ctx, d, o)
}

// listed says what an object must be.
func (p *repairer) listed(ctx context.Context, name string) (o Object, err error) {
	folder, file, _ := strings.Cut(strings.TrimPrefix(name, "base/"), "/")
	if !strings.HasPrefix(name, "base/") || file == "manifest" {
		err = p.r.view(ctx, func(ledger.Checkpoint, []ledger.Ignored) (err error) {
			var ok bool
			if o, ok = p.r.fold.objects[name]; !ok {
				err = &UnlistedError{Source: p.r.source, Object: name}
			}
			return err
		})
		return o, err
	}
	if _, err := p.listed(ctx, manifestName(folder)); err != nil {
		return o, err
	}
	m, err := p.r.manifestOf(ctx, folder)
	if err != nil {
		return o, err
	}
	for _, part := range m.parts() {
		if part.Name == name {
			return part, nil
		}
	}
	return o, &UnlistedError{Source: p.r.source, Object: name}
}

// replace puts the copy in the place of the damaged object.
func (p *repairer) replace(ctx context.Context, d Damage, o Object) error {
	full := p.r.object(o.Name)
	wrong, err := isDamaged(p.r.hashListed(ctx, o, nil))
	if err != nil {
		return err
	}
	if !wrong && d.Kind == BadContent {
		p.leave(d, "it holds the bytes that are listed: every copy is the same, and a new base or segment is needed")
		return nil
	}
	if !wrong {
		p.result.Objects = append(p.result.Objects, full)
		return nil
	}
	source, err := p.source(ctx, o)
	if err != nil {
		return err
	}
	if source == nil {
		p.leave(d, fmt.Sprintf("%s has no good copy of it", p.from.store))
		return nil
	}
	done, err := p.claim(ctx, source, o)
	if err != nil {
		return err
	}
	defer done()
	err = p.r.store.Delete(ctx, full)
	if errors.Is(err, fs.ErrPermission) {
		p.leave(d, "it is locked, so that it cannot be replaced before its lock ends")
		return nil
	}
	if err != nil {
		return err
	}
	killpoint.At(killpoint.RepairRemoved)
	if err := p.r.copyFrom(ctx, source.from, source.name, o, nil); err != nil {
		return err
	}
	if err := p.r.protect(ctx, o.Name); err != nil {
		return err
	}
	p.result.Objects = append(p.result.Objects, full)
	p.result.Bytes += o.Size
	return nil
}

// goodCopy is where an object is as it must be.
type goodCopy struct {
	from *Repository
	name string
}

// source finds a good copy: a key object has one in this repository. It is nil if there is none.
func (p *repairer) source(ctx context.Context, o Object) (*goodCopy, error) {
	candidates := []goodCopy{{p.from, o.Name}}
	if twin := keyTwin(o.Name); twin != "" {
		candidates = []goodCopy{{p.r, twin}, {p.from, o.Name}, {p.from, twin}}
	}
	for _, c := range candidates {
		if c.from == nil {
			continue
		}
		asked := o
		asked.Name = c.name
		wrong, err := isDamaged(c.from.hashListed(ctx, asked, nil))
		if err != nil {
			return nil, err
		}
		if !wrong {
			return &c, nil
		}
	}
	return nil, nil
}

// keyTwin is the other name of a key object, "" for other objects.
func keyTwin(name string) string {
	for i, folder := range keyFolders {
		if rest, ok := strings.CutPrefix(name, folder); ok {
			return keyFolders[1-i] + rest
		}
	}
	return ""
}

// claim claims the base there that a copy is from.
func (p *repairer) claim(ctx context.Context, c *goodCopy, o Object) (done func(), err error) {
	id, isBase := strings.CutPrefix(o.Name, "base/")
	if !isBase {
		return func() {}, nil
	}
	id, _, _ = strings.Cut(id, "/")
	return c.from.Hold(ctx, history.Chain{Base: history.Base{ID: id}}, "repair of "+p.r.store.String())
}

// isDamaged tells damage from a store that fails.
func isDamaged(err error) (bool, error) {
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		return true, nil
	}
	return false, err
}
