package repository_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// hint returns what the error advises.
func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestCreateAndOpen(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s store.Store) {
		w := newWorld(t, s)
		if w.repo.CanRead() {
			t.Error("a host that creates a repository can read it")
		}
		r := w.open(t, nil)
		if !r.CanRead() || !r.Authenticated() || !slices.Equal(r.Verifiers(), []string{w.signer.Verifier()}) {
			t.Errorf("can read %v, authenticated %v, verifiers %v", r.CanRead(), r.Authenticated(), r.Verifiers())
		}
		f := facts(t, r)
		if f.History.Engine != "sqlite" || f.History.Source != "app" || f.Head.Size != 2 || f.Keys.Readers[0].Name != "anna" || f.StoredBytes == 0 {
			t.Errorf("facts %+v", f)
		}
		_, err := repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", Signer: w.signer, Readers: f.Keys.Readers})
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("created twice: %v", err)
		}
		names, err := repository.Sources(t.Context(), s)
		if err != nil || !slices.Equal(names, []string{"app"}) {
			t.Errorf("sources %v, %v", names, err)
		}
	})
}

func TestOpenWhatIsNotThere(t *testing.T) {
	w := &world{store: mem.New(), reader: newIdentity(t)}
	if _, err := w.tryOpen(t.Context(), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := w.tryOpen(t.Context(), func(o *repository.Options) { o.Source = "a/b" }); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestWrongKey(t *testing.T) {
	w := newWorld(t, mem.New())
	var wrong *repository.WrongKeyError
	_, err := w.tryOpen(t.Context(), func(o *repository.Options) { o.Identities = []age.Identity{newIdentity(t)} })
	if !errors.As(err, &wrong) || !strings.Contains(hint(err), "anna") {
		t.Errorf("got %v with hint %q", err, hint(err))
	}
	r := w.open(t, func(o *repository.Options) { o.Identities = nil })
	var none *repository.NoKeyError
	if _, err := r.OpenBase(t.Context(), "x"); !errors.As(err, &none) || hint(err) == "" {
		t.Errorf("got %v", err)
	}
	if r.Authenticated() {
		t.Error("authenticated without key and pins")
	}
	if r := w.open(t, func(o *repository.Options) { o.Identities, o.Trusted = nil, w.repo.Verifiers() }); !r.Authenticated() {
		t.Error("not authenticated by what this host has pinned")
	}
}

func TestReadersComeAndGo(t *testing.T) {
	w := newWorld(t, mem.New())
	base := w.takeBase(t)
	anna := w.open(t, func(o *repository.Options) { o.Signer = w.signer })
	ben := newIdentity(t)
	if err := anna.AddReader(t.Context(), repository.Reader{Name: "ben", Recipient: ben.Recipient().String()}); err != nil {
		t.Fatal(err)
	}
	asBen := func(o *repository.Options) { o.Identities, o.Signer = []age.Identity{ben}, w.signer }
	canOpen := func(r *repository.Repository, id string) error {
		b, err := r.OpenBase(t.Context(), id)
		if err == nil {
			err = b.Close()
		}
		return err
	}
	b := w.open(t, asBen)
	if err := canOpen(b, base.ID); err != nil {
		t.Fatalf("a reader who came later cannot open an old base: %v", err)
	}
	if err := b.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts(t, w.repo) // shows the host that there is a new identity
	w.now = w.now.Add(1e9)
	second := w.takeBase(t)
	if err := b.RemoveReader(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	if err := b.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.Keys(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(1e9)
	third := w.takeBase(t)
	b = w.open(t, asBen)
	for _, id := range []string{base.ID, second.ID, third.ID} {
		if err := canOpen(b, id); err != nil {
			t.Errorf("ben cannot open %s: %v", id, err)
		}
	}
	a := w.open(t, nil)
	if err := canOpen(a, second.ID); err != nil {
		t.Errorf("anna cannot open what she could read: %v", err)
	}
	if err := canOpen(a, third.ID); err == nil {
		t.Error("anna opens what was sealed after she was removed and the keys were rotated")
	}
	if err := b.RemoveReader(t.Context(), "ben"); err == nil {
		t.Error("the last reader was removed")
	}
	if k := facts(t, b).Keys; k.Number != 5 || len(k.Readers) != 1 || k.Readers[0].Name != "ben" {
		t.Errorf("keys %+v", k)
	}
}

// TestForgedKeyObjects lets somebody who can write to the store, and knows all that lies there in clear, add a key
// object that names a signer of his own.
func TestForgedKeyObjects(t *testing.T) {
	s := mem.New()
	w := newWorld(t, s)
	forger := newSigner(t, "forger")
	anna := w.reader.Recipient().String()
	forged := mem.New()
	if _, err := repository.Create(t.Context(), forged, repository.CreateOptions{Source: "app", Engine: "sqlite", Signer: forger,
		Readers: []repository.Reader{{Name: "anna", Recipient: anna}}}); err != nil {
		t.Fatal(err)
	}
	raw, err := store.ReadAll(t.Context(), forged, "app/key/000001", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.Replace(raw, []byte(`"number":1`), []byte(`"number":2`), 1)
	if err := s.Put(t.Context(), "app/key/000002", bytes.NewReader(raw), -1); err != nil {
		t.Fatal(err)
	}
	pinned := func(o *repository.Options) { o.Identities, o.Trusted = nil, []string{w.signer.Verifier()} }
	for name, how := range map[string]func(*repository.Options){"with a key": nil, "with pins": pinned} {
		r := w.open(t, how)
		if slices.Contains(r.Verifiers(), forger.Verifier()) || !r.Authenticated() {
			t.Errorf("%s the forger may sign", name)
		}
		report, err := r.Check(t.Context(), repository.CheckOptions{})
		if err != nil || !damaged(report, "app/key/000002", repository.BadKey) {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
	// The next honest key object steps over it.
	r := w.open(t, func(o *repository.Options) { o.Signer = w.signer })
	second := newSigner(t, "db2")
	if err := r.AddSigner(t.Context(), second.Verifier()); err != nil {
		t.Fatal(err)
	}
	for name, how := range map[string]func(*repository.Options){"with a key": nil, "with pins": pinned} {
		if r := w.open(t, how); !slices.Contains(r.Verifiers(), second.Verifier()) || facts(t, r).Keys.Number != 3 {
			t.Errorf("%s the new signer is not known", name)
		}
	}
}

func damaged(report repository.CheckReport, object string, kind repository.DamageKind) bool {
	return slices.ContainsFunc(report.Damage, func(d repository.Damage) bool {
		return d.Object == object && d.Kind == kind && d.Detail != "" && d.Affects != ""
	})
}

func TestNewSignerIsLearntWhileOpen(t *testing.T) {
	w := newWorld(t, mem.New())
	watcher := w.open(t, func(o *repository.Options) { o.Identities, o.Trusted = nil, []string{w.signer.Verifier()} })
	facts(t, watcher)
	second := newSigner(t, "db2")
	if err := w.open(t, func(o *repository.Options) { o.Signer = w.signer }).AddSigner(t.Context(), second.Verifier()); err != nil {
		t.Fatal(err)
	}
	other := w.open(t, func(o *repository.Options) { o.Signer = second })
	if err := other.PutReport(t.Context(), "r1", []byte("report")); err != nil {
		t.Fatal(err)
	}
	if f := facts(t, watcher); len(f.Reports) != 1 || len(f.Ignored) != 0 {
		t.Errorf("facts %+v", f)
	}
	if err := w.repo.PutReport(t.Context(), "r2", []byte("report")); err != nil {
		t.Errorf("the first signer cannot go on: %v", err)
	}
}

// TestSecondRepository makes the repository of a source in another store, with and without a key at hand.
func TestSecondRepository(t *testing.T) {
	w := newWorld(t, mem.New())
	reader := w.open(t, nil)
	for name, o := range map[string]repository.CreateOptions{
		"secret":     {Secret: reader.Secret(), Readers: facts(t, reader).Keys.Readers},
		"key object": {KeyObject: w.repo.KeyObject()},
	} {
		t.Run(name, func(t *testing.T) {
			s := mem.New()
			o.Source, o.Engine, o.Signer, o.Now = "app", "sqlite", w.signer, w.clock
			second, err := repository.Create(t.Context(), s, o)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := second.Sealer().Recipients, w.repo.Sealer().Recipients; fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatal("they seal to different identities")
			}
			if r, err := repository.Open(t.Context(), s, repository.Options{Source: "app", Identities: []age.Identity{w.reader}}); err != nil || !r.CanRead() {
				t.Fatalf("the reader cannot open it: %v", err)
			}
		})
	}
	o := repository.CreateOptions{Source: "app", KeyObject: w.repo.KeyObject(), Signer: newSigner(t, "db9")}
	if _, err := repository.Create(t.Context(), mem.New(), o); err == nil {
		t.Fatal("a signer that the key object does not name was taken")
	}
}

// TestCreateGoesOn repeats a Create that put its key object and died.
func TestCreateGoesOn(t *testing.T) {
	s := &failing{Store: mem.New(), part: "/ledger/", err: errors.New("killed")}
	signer, anna, ben := newSigner(t, "db1"), newIdentity(t), newIdentity(t)
	create := func(signer *ledger.Signer, id *age.X25519Identity) error {
		_, err := repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", Engine: "sqlite", Signer: signer,
			Readers: []repository.Reader{{Name: "reader", Recipient: id.Recipient().String()}}})
		return err
	}
	if err := create(signer, anna); !errors.Is(err, s.err) {
		t.Fatal(err)
	}
	left, _ := store.ReadAll(t.Context(), s, "app/key/000001", 1<<20)
	if err := create(newSigner(t, "db1"), anna); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another host goes on: %v", err)
	}
	if err := create(signer, anna); !errors.Is(err, s.err) {
		t.Fatal(err)
	}
	if again, _ := store.ReadAll(t.Context(), s, "app/key/000001", 1<<20); !bytes.Equal(left, again) {
		t.Error("the key object was replaced without need")
	}
	s.err = nil
	if err := create(signer, ben); err != nil {
		t.Fatal(err)
	}
	w := &world{store: s, reader: ben}
	if r := w.open(t, nil); len(check(t, w, repository.CheckOptions{}).Damage) != 0 || !r.CanRead() {
		t.Error("it is not whole")
	}
}

func TestKeysAreCopied(t *testing.T) {
	w := newWorld(t, mem.New())
	s := mem.New()
	second, err := repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", KeyObject: w.repo.KeyObject(), Signer: w.signer, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	r := w.open(t, func(o *repository.Options) { o.Signer = w.signer })
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.CopyKeys(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if a, b := facts(t, second).Keys, facts(t, r).Keys; a.Number != 2 || a.Recipient != b.Recipient {
		t.Errorf("keys %+v, want %+v", a, b)
	}
}

func FuzzKeyObject(f *testing.F) {
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte(`{"format":0,"number":1,"source":"app","recipient":"age1x","wrapped":"YQ=="}` + "\n" + `{"mac":"YQ==","signature":"x"}` + "\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := mem.New()
		if err := s.Put(t.Context(), "app/key/000001", bytes.NewReader(raw), -1); err != nil {
			t.Fatal(err)
		}
		r, err := repository.Open(t.Context(), s, repository.Options{Source: "app"})
		if err != nil {
			return
		}
		if r.Authenticated() || r.CanRead() {
			t.Fatal("it is trusted")
		}
		line, _, _ := bytes.Cut(raw, []byte("\n"))
		if !json.Valid(line) {
			t.Fatal("it is no JSON")
		}
	})
}
