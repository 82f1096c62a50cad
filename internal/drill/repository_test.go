package drill

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/recovery"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store/local"
)

// vault is a real repository of a real SQLite source, in a folder.
type vault struct {
	dir    string
	reader *age.X25519Identity
	signer *ledger.Signer
}

func newVault(t *testing.T, commits int) *vault {
	t.Helper()
	v := &vault{dir: t.TempDir()}
	var err error
	if v.reader, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	if v.signer, err = ledger.NewSigner("host1"); err != nil {
		t.Fatal(err)
	}
	repo, err := repository.Create(t.Context(), local.New(v.dir), repository.CreateOptions{Source: "app", Engine: "sqlite", SystemID: "1",
		Readers: []repository.Reader{{Name: "anna", Recipient: v.reader.Recipient().String()}}, Signer: v.signer})
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{}
	r.record(t, commits, func(t *testing.T, src engine.Source, after history.Position) engine.BaseResult {
		t.Helper()
		w, err := repo.NewBase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		res, err := src.TakeBase(t.Context(), engine.BaseOptions{After: after}, w)
		if err != nil {
			t.Fatal(err)
		}
		if res.Base, err = w.Commit(t.Context(), res.Base); err != nil {
			t.Fatal(err)
		}
		return res
	})
	for i := range r.log.Segments() {
		v.put(t, repo, r, i)
	}
	return v
}

// put seals one recorded segment and appends it.
func (v *vault) put(t *testing.T, repo *repository.Repository, r *recording, i int) {
	t.Helper()
	ctx := t.Context()
	opened, err := r.log.Open(ctx, i)
	if err != nil {
		t.Fatal(err)
	}
	var entries []pack.SegmentEntry
	for _, e := range opened.Entries() {
		entries = append(entries, pack.SegmentEntry{File: e.File, Offset: e.Offset, Size: e.Size, Condensed: e.Condensed,
			Open: func() (io.ReadCloser, error) { return opened.Read(ctx, e) }})
	}
	slices.SortStableFunc(entries, func(a, b pack.SegmentEntry) int {
		switch {
		case a.Condensed == b.Condensed:
			return 0
		case a.Condensed:
			return -1
		default:
			return 1
		}
	})
	var marks []history.Mark
	for m, err := range opened.Marks(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, m)
	}
	var b bytes.Buffer
	sealed, err := pack.SealSegment(ctx, &b, repo.Sealer(), pack.SegmentSpec{
		Segment: r.log.Segments()[i], Entries: slices.Values(entries), Marks: slices.Values(marks)})
	if err != nil {
		t.Fatal(err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	if _, err := repo.AppendSegment(ctx, sealed, open, r.history.Whole); err != nil {
		t.Fatal(err)
	}
}

func (v *vault) facts(ctx context.Context) (Facts, error) {
	r, err := repository.Open(ctx, local.New(v.dir), repository.Options{
		Source: "app", Trusted: []string{v.signer.Verifier()}, Identities: []age.Identity{v.reader}})
	if err != nil {
		return Facts{}, err
	}
	facts, err := r.Facts(ctx)
	if err != nil {
		return Facts{}, err
	}
	facts.History.Engine = "sqlite"
	return Facts{Checkpoint: NewCheckpoint(facts.Head), Origin: recovery.Origin{
		Name: "local", History: facts.History, OpenLog: r.OpenLog, Hold: r.Hold,
		OpenBase: func(ctx context.Context, id string) (recovery.Base, error) { return r.OpenBase(ctx, id) },
	}}, nil
}

// TestADrillKeepsWhatItReads drops the base while it is laid: the drop is refused, the drill proves, and then it may go.
func TestADrillKeepsWhatItReads(t *testing.T) {
	v := newVault(t, 40)
	writer, err := repository.Open(t.Context(), local.New(v.dir), repository.Options{Source: "app", Signer: v.signer, Trusted: []string{v.signer.Verifier()}})
	if err != nil {
		t.Fatal(err)
	}
	drop := func(ctx context.Context, id string) error {
		f, err := writer.Facts(ctx)
		if err == nil {
			_, err = writer.Drop(ctx, repository.Order{Names: []string{"base/" + id}, Reason: "old", Decided: f.Head.Size})
		}
		return err
	}
	var refused error
	var base string
	c := newWorld().config(t)
	c.Source, c.Engine, c.Now, c.Pick = "app", sqlite.Engine{}, nil, Latest
	c.Facts = func(ctx context.Context) (Facts, error) {
		f, err := v.facts(ctx)
		open := f.Origin.OpenBase
		f.Origin.OpenBase = func(ctx context.Context, id string) (recovery.Base, error) {
			base, refused = id, drop(ctx, id)
			return open(ctx, id)
		}
		return f, err
	}
	r, err := Run(t.Context(), c)
	if err != nil || r.Verdict != Proved {
		t.Errorf("%s, %v", r, err)
	}
	var claimed *repository.ClaimedError
	if !errors.As(refused, &claimed) || claimed.By != "drill" {
		t.Errorf("dropped while it was read: %v", refused)
	}
	if err := drop(t.Context(), base); err != nil {
		t.Errorf("dropped afterwards: %v", err)
	}
}

func TestDrillARepository(t *testing.T) {
	v := newVault(t, 40)
	c := newWorld().config(t)
	c.Source, c.Engine, c.Facts, c.Now = "app", sqlite.Engine{}, v.facts, nil
	for _, pick := range []Pick{Latest, Random, Random, Random} {
		c.Pick = pick
		r, err := Run(t.Context(), c)
		if err != nil || r.Verdict != Proved || r.Checkpoint.Number == 0 || r.LaidBytes == 0 {
			t.Errorf("%s, %v", r, err)
		}
	}
	requireEmpty(t, c.Scratch)
}

// TestDrillFindsEveryDamageItReads damages, one after the other, each object that a drill to the end needs, and
// demands that it is found, that the backup is blamed for it, and that intact again it is proved.
func TestDrillFindsEveryDamageItReads(t *testing.T) {
	v := newVault(t, 12)
	c := newWorld().config(t)
	c.Source, c.Engine, c.Facts, c.Now = "app", sqlite.Engine{}, v.facts, nil
	facts, err := v.facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := recovery.PlanFor(facts.Origin.History, history.Target{Kind: history.Latest}, recovery.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	planted := 0
	err = filepath.WalkDir(filepath.Join(v.dir, "app"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !needed(plan, filepath.ToSlash(path)) {
			return err
		}
		planted++
		whole, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		for what, data := range map[string][]byte{"flipped": flipped, "cut": whole[:len(whole)-1], "empty": {}, "gone": nil} {
			if err := plant(path, data); err != nil {
				return err
			}
			r, err := Run(t.Context(), c)
			if err != nil || r.Verdict != BackupBad || r.Lost == "" {
				t.Errorf("%s %s: %s, %v", path, what, r, err)
			}
		}
		return plant(path, whole)
	})
	if err != nil {
		t.Fatal(err)
	}
	if planted < 4 {
		t.Errorf("%d objects were damaged", planted)
	}
	if r, err := Run(t.Context(), c); err != nil || r.Verdict != Proved {
		t.Errorf("intact again: %s, %v", r, err)
	}
}

// needed reports whether the plan reads an object: those of its base and its segments. The ledger has tests of its own.
func needed(p recovery.Plan, path string) bool {
	return strings.Contains(path, "/base/"+p.Chain.Base.ID+"/") ||
		slices.ContainsFunc(p.Chain.Segments, func(s history.Segment) bool { return strings.HasSuffix(path, "/"+s.Name) })
}

// plant replaces a file; nil removes it.
func plant(path string, data []byte) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	if data == nil {
		return nil
	}
	return os.WriteFile(path, data, 0o600)
}
