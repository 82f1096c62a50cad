package crash

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store/local"
)

// forger knows the recipient, which lies open in the repository, and the log, as somebody does who may read the database;
// he may write to the store, and has neither a reader's key nor a signer that counts. What he seals is as good in every
// other regard.
type forger struct {
	t     *testing.T
	repo  string
	last  history.Segment
	read  engine.LogSegment
	recip pack.SegmentSealer
	host  string // verifier of who may sign, which anybody can read
}

func newForger(s *shop) *forger {
	s.t.Helper()
	text, err := os.ReadFile(s.path("backstay.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	host, err := ledger.OpenSigner(s.path(".backstay/signer"), "host")
	if err != nil {
		s.t.Fatal(err)
	}
	f := &forger{t: s.t, repo: s.path("repo"), host: host.Verifier()}
	r := openRepository(s.t, f.repo, repository.Options{Source: "app", Identities: ids})
	facts, err := r.Facts(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	segments := slices.DeleteFunc(facts.History.Segments, func(seg history.Segment) bool { return seg.Tip })
	f.last, f.recip = segments[len(segments)-1], r.Sealer()
	if f.read, err = r.OpenSegment(s.t.Context(), f.last); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = f.read.Close() })
	return f
}

func openRepository(t *testing.T, folder string, o repository.Options) *repository.Repository {
	t.Helper()
	s, err := local.Open(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	r, err := repository.Open(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seal seals the last segment anew, moved on by some commits.
func (f *forger) seal(by uint64) (pack.Sealed, []byte) {
	f.t.Helper()
	seg := f.last
	seg.From.Seq, seg.To.Seq = seg.From.Seq+by, seg.To.Seq+by
	var entries []pack.SegmentEntry
	for _, e := range f.read.Entries() {
		entries = append(entries, pack.SegmentEntry{File: e.File, Offset: e.Offset, Size: e.Size, Condensed: e.Condensed, Open: func() (io.ReadCloser, error) {
			return f.read.Read(context.Background(), e)
		}})
	}
	var marks []history.Mark
	for m, err := range f.read.Marks(f.t.Context()) {
		if err != nil {
			f.t.Fatal(err)
		}
		m.Position.Seq += by
		marks = append(marks, m)
	}
	var b bytes.Buffer
	sealed, err := pack.SealSegment(f.t.Context(), &b, f.recip, pack.SegmentSpec{Segment: seg, Entries: slices.Values(entries), Marks: slices.Values(marks)})
	if err != nil {
		f.t.Fatal(err)
	}
	return sealed, b.Bytes()
}

// inPlace puts the same log, sealed anew, in the place of the last segment.
func (f *forger) inPlace() string {
	_, b := f.seal(0)
	put(f.t, f.repo, "app/"+f.last.Name, b)
	return "app/" + f.last.Name
}

// behind puts a segment that goes on where the log ends.
func (f *forger) behind() string {
	f.t.Helper()
	sealed, b := f.seal(f.last.To.Seq - f.last.From.Seq)
	name := "app/" + repository.SegmentName(sealed)
	if err := os.WriteFile(filepath.Join(f.repo, name), b, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return name
}

// listed does so too and lists it in a checkpoint that the forger signs. A host that is not listed is refused by its own program, which
// the forger's does not do: it counts itself among those who may sign.
func (f *forger) listed() string {
	f.t.Helper()
	signer, err := ledger.NewSigner("forger")
	if err != nil {
		f.t.Fatal(err)
	}
	r := openRepository(f.t, f.repo, repository.Options{Source: "app", Signer: signer, Trusted: []string{f.host, signer.Verifier()}})
	sealed, b := f.seal(f.last.To.Seq - f.last.From.Seq)
	_, err = r.AppendSegment(f.t.Context(), sealed, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }, history.Moment{})
	if err != nil {
		f.t.Fatal(err)
	}
	return "app/" + repository.SegmentName(sealed)
}
