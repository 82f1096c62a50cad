package repository

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
)

// Kind says what a leaf describes.
type Kind string

// The kinds of leaf, and Tip for what only the newest checkpoint lists.
const (
	Key     Kind = "key"
	Base    Kind = "base"
	Segment Kind = "segment"
	Tip     Kind = "tip"
	Gap     Kind = "gap"
	Fork    Kind = "fork"
	Report  Kind = "report"
	Drop    Kind = "drop"
)

// Object is one object that the ledger lists. The packs and maps of a base are listed by its manifest.
type Object struct {
	Name   string `json:"name"` // relative to the source
	Kind   Kind   `json:"kind"`
	Size   int64  `json:"size"` // bytes as stored
	SHA256 string `json:"sha256"`
	Leaf   int64  `json:"leaf"` // its number in the ledger; -1 for tips
}

// ReportRef names a drill report.
type ReportRef struct {
	ID   string `json:"id"`
	Name string `json:"name"` // of the object
	Time string `json:"time"` // when it was listed, RFC 3339
}

// keyBody is the body of a key leaf.
type keyBody struct {
	Number   int    `json:"number"`
	Engine   string `json:"engine"`
	SystemID string `json:"system_id,omitempty"`
}

// dropBody is the body of a drop leaf.
type dropBody struct {
	Names  []string `json:"names"`
	Reason string   `json:"reason"`
}

// fold is what the leaves say, kept up to date by the Log. It is read and changed while the Log is locked.
type fold struct {
	engine   string
	newest   int // number of the newest key object
	objects  map[string]Object
	bases    map[string]history.Base // by the name of the manifest
	segments map[string]segmentBody  // by name
	reports  map[string]ReportRef    // by name
	dropped  map[string]bool
	forks    []history.Fork
	gaps     []history.Gap
	recent   []history.Segment // the newest few, by when they were listed

	structure int64 // number of the newest leaf of a base or a fork, -1 if there is none: what decisions on drops rest on
}

// maxRecent is how many segments a tip that comes late is compared with.
const maxRecent = 16

func newFold() *fold {
	f := &fold{}
	f.Reset()
	return f
}

// Reset implements ledger.Fold.
func (f *fold) Reset() {
	*f = fold{objects: map[string]Object{}, bases: map[string]history.Base{}, segments: map[string]segmentBody{},
		reports: map[string]ReportRef{}, dropped: map[string]bool{}, structure: -1}
}

// Add implements ledger.Fold.
func (f *fold) Add(leaf ledger.Leaf) error {
	if err := f.add(leaf); err != nil {
		return fmt.Errorf("read leaf %d (%s %s): %w", leaf.N, leaf.Kind, leaf.Name, err)
	}
	return nil
}

func (f *fold) add(leaf ledger.Leaf) error {
	switch Kind(leaf.Kind) {
	case Key:
		var b keyBody
		if err := json.Unmarshal(leaf.Body, &b); err != nil {
			return err
		}
		f.engine, f.newest = b.Engine, max(f.newest, b.Number)
	case Base:
		var b history.Base
		if err := json.Unmarshal(leaf.Body, &b); err != nil {
			return err
		}
		f.bases[leaf.Name], f.structure = b, leaf.N
	case Segment:
		var b segmentBody
		if err := json.Unmarshal(leaf.Body, &b); err != nil {
			return err
		}
		f.segments[leaf.Name] = b
		f.recent = append(f.recent, b.Segment)
		f.recent = f.recent[max(0, len(f.recent)-maxRecent):]
	case Report:
		f.reports[leaf.Name] = ReportRef{ID: strings.TrimPrefix(leaf.Name, "report/"), Name: leaf.Name, Time: leaf.Time.Format("2006-01-02T15:04:05.000Z07:00")}
	case Gap:
		return addTo(&f.gaps, leaf.Body)
	case Fork:
		f.structure = leaf.N
		return addTo(&f.forks, leaf.Body)
	case Drop:
		return f.drop(leaf.Body)
	default:
		return nil // a newer version's; its object, if any, is still checked
	}
	f.objects[leaf.Name] = Object{Name: leaf.Name, Kind: Kind(leaf.Kind), Size: leaf.Size, SHA256: leaf.SHA256, Leaf: leaf.N}
	delete(f.dropped, leaf.Name)
	return nil
}

func addTo[T any](list *[]T, body []byte) error {
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	*list = append(*list, v)
	return nil
}

func (f *fold) drop(body []byte) error {
	var d dropBody
	if err := json.Unmarshal(body, &d); err != nil {
		return err
	}
	for _, name := range d.Names {
		delete(f.objects, name)
		delete(f.bases, name)
		delete(f.segments, name)
		delete(f.reports, name)
		f.dropped[name] = true
	}
	return nil
}

// droppedSegments reads the positions of dropped segments from their names.
func (f *fold) droppedSegments() []history.Segment {
	var list []history.Segment
	for name := range f.dropped {
		if seg, ok := segmentOf(name); ok {
			list = append(list, seg)
		}
	}
	return list
}

// tips reads the tips of a head as segments, in order.
func (f *fold) tips(head ledger.Checkpoint) ([]history.Segment, error) {
	var list []history.Segment
	for _, t := range head.Tips {
		s, err := tipSegment(t)
		if err != nil {
			return nil, fmt.Errorf("read checkpoint %d: %w", head.Number, err)
		}
		s.Tip = true
		list = append(list, s)
	}
	return list, nil
}

// history gives what is known at head.
func (f *fold) history(source string, head ledger.Checkpoint) (history.History, error) {
	h := history.History{Source: source, Engine: f.engine, Forks: slices.Clone(f.forks), Gaps: slices.Clone(f.gaps), Whole: head.Whole}
	for _, b := range f.bases {
		h.Bases = append(h.Bases, b)
	}
	slices.SortFunc(h.Bases, func(a, b history.Base) int { return strings.Compare(a.ID, b.ID) })
	for _, s := range f.segments {
		h.Segments = append(h.Segments, s.Segment)
	}
	tips, err := f.tips(head)
	h.Segments = append(h.Segments, tips...)
	slices.SortFunc(h.Segments, func(a, b history.Segment) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return h, err
}

// listed gives all live objects and tips, by name.
func (f *fold) listed(head ledger.Checkpoint) []Object {
	var list []Object
	for _, o := range f.objects {
		list = append(list, o)
	}
	for _, t := range head.Tips {
		list = append(list, tipObject(t))
	}
	slices.SortFunc(list, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func tipObject(t ledger.Tip) Object {
	return Object{Name: t.Name, Kind: Tip, Size: t.Size, SHA256: t.SHA256, Leaf: -1}
}
