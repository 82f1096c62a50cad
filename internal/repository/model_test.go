package repository_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/retention"
	"github.com/backstaydb/backstay/internal/store/mem"
)

var (
	modelSeed = flag.Uint64("model.seed", 0, "play this one only")
	modelRuns = flag.Int("model.runs", 0, "how many seeds are played; 0: a few")
)

// TestModel interleaves, call by call and as a seed has it, writers, droppers, sweepers, copiers, repairers and restores of two
// repositories, kills some of them before or after any call, and damages objects. At every moment a restore that has
// claimed what it reads gets it; at the end all that was acknowledged and that no decision dropped is there, intact, and
// recovers.
func TestModel(t *testing.T) {
	runs := *modelRuns
	if runs == 0 {
		runs = map[bool]int{true: 15, false: 60}[testing.Short()]
	}
	total := map[string]int{}
	for seed := uint64(1); seed <= uint64(runs); seed++ {
		if *modelSeed != 0 {
			seed = *modelSeed
		}
		m := newModel(t, seed)
		if err := m.play(t.Context(), 150); err != nil {
			t.Fatalf("seed %d: %v\n%s\nplay it again with -model.seed=%d", seed, err, m.tail(), seed)
		}
		for what, n := range m.counts {
			total[what] += n
		}
		if *modelSeed != 0 {
			break
		}
	}
	t.Logf("%v", total)
	if testing.Short() {
		return // a few seeds do not reach all of it
	}
	for _, what := range []string{"append", "base", "increment", "copy base", "copy log", "drop", "dropped", "sweep", "swept", "restore", "restored", "claimed too late", "claimed in time", "repair", "repaired", "killed"} {
		if total[what] == 0 && *modelSeed == 0 {
			t.Errorf("never: %s", what)
		}
	}
}

// TestModelCanFail plays with restores that do not claim what they read: the model must notice.
func TestModelCanFail(t *testing.T) {
	for seed := uint64(1); seed <= 400; seed++ {
		m := newModel(t, seed)
		m.unclaimed = true
		if err := m.play(t.Context(), 150); err != nil {
			t.Logf("seed %d: %v", seed, err)
			return
		}
	}
	t.Error("restores that claim nothing lost nothing in 400 runs")
}

// place is one repository of the model, and what the model knows of it.
type place struct {
	name  string
	store *timed

	bases    map[string]history.Base
	segments map[string]history.Segment
	ordered  map[string]bool // names that a drop was asked to delete, and did not refuse
	orders   map[string]int  // how many drops those are
}

// model is what has happened.
type model struct {
	t      *testing.T
	rng    *rand.Rand
	clock  *clock
	signer *ledger.Signer
	reader *age.X25519Identity
	rules  retention.Rules

	places    [2]*place
	seq       uint64        // newest position
	spool     *sealedObject // sealed and not acknowledged
	damaged   map[string]bool
	unclaimed bool

	running []*process
	busy    map[string]int // kinds of work that run
	counts  map[string]int
	log     []string
}

// at is when a position was committed.
func (m *model) at(seq uint64) time.Time { return start.Add(time.Duration(seq) * 20 * time.Second) }

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 7)), clock: &clock{now: start}, signer: newSigner(t, "db1"), reader: newIdentity(t),
		rules: retention.Rules{Window: 8 * time.Minute, Last: 1, Daily: 2, Minimum: 1}, damaged: map[string]bool{}, busy: map[string]int{}, counts: map[string]int{}}
	var key []byte
	for i, name := range []string{"a", "b"} {
		p := &place{name: name, store: &timed{Store: mem.New(), clock: m.clock, created: map[string]time.Time{}},
			bases: map[string]history.Base{}, segments: map[string]history.Segment{}, ordered: map[string]bool{}, orders: map[string]int{}}
		o := repository.CreateOptions{Source: "app", Engine: "sqlite", Signer: m.signer, Now: m.clock.read, KeyObject: key}
		if key == nil {
			o.Readers = []repository.Reader{{Name: "anna", Recipient: m.reader.Recipient().String()}}
		}
		r, err := repository.Create(t.Context(), p.store, o)
		if err != nil {
			t.Fatal(err)
		}
		key, m.places[i] = r.KeyObject(), p
	}
	return m
}

// open opens a place as a process.
func (m *model) open(ctx context.Context, p *place, by *process, keys ...age.Identity) (*repository.Repository, error) {
	s := p.store
	o := repository.Options{Source: "app", Signer: m.signer, Trusted: []string{m.signer.Verifier()}, Identities: keys, Now: m.clock.read}
	if by == nil {
		return repository.Open(ctx, s, o)
	}
	return repository.Open(ctx, by.on(s), o)
}

func (m *model) note(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

// tail is the end of the log.
func (m *model) tail() string { return strings.Join(m.log[max(0, len(m.log)-80):], "\n") }

const atOnce = 4

// play makes so many steps of work, then lets all of it end, and compares.
func (m *model) play(ctx context.Context, steps int) error {
	for started := 0; started < steps || len(m.running) > 0; {
		if started < steps && len(m.running) < atOnce && (len(m.running) == 0 || m.rng.IntN(12) == 0) {
			m.begin(ctx)
			started++
			continue
		}
		i := m.rng.IntN(len(m.running))
		p := m.running[i]
		if !p.ended {
			f := happens
			if m.rng.IntN(250) == 0 {
				f = killedBefore + fate(m.rng.IntN(2))
			}
			what := p.let(m.rng, f)
			if f != happens {
				m.counts["killed"]++
				what = "KILLED at " + what
			}
			m.note("%-12s %s", p.name, what)
			p.settle()
		}
		if p.ended {
			m.running = slices.Delete(m.running, i, i+1)
			m.busy[p.name]--
			m.note("%-12s ended: %v", p.name, p.result)
			if p.result != nil && !p.dead.Load() {
				return fmt.Errorf("%s: %w", p.name, p.result)
			}
		}
		if claims := m.busy["restore"] + m.busy["base"] + m.busy["copy base"] + m.busy["repair"]; claims == 0 && m.rng.IntN(60) == 0 {
			m.clock.forward(m.clock.read().Add(time.Duration(m.rng.IntN(20)) * time.Hour))
		}
	}
	return m.compare(ctx)
}

// begin starts some work.
func (m *model) begin(ctx context.Context) {
	p := m.places[m.rng.IntN(2)]
	other := m.places[0]
	if p == other {
		other = m.places[1]
	}
	one := m.places[0]
	work := []struct {
		name   string
		weight int
		alone  bool
		do     func(*process) error
	}{
		{"append", 10, true, func(w *process) error { return m.append(ctx, w, one) }},
		{"base", 4, true, func(w *process) error { return m.base(ctx, w, one) }},
		{"copy base", 4, false, func(w *process) error { return m.copyBase(ctx, w, other, p) }},
		{"copy log", 6, false, func(w *process) error { return m.copyLog(ctx, w, other, p) }},
		{"drop", 5, false, func(w *process) error { return m.drop(ctx, w, p) }},
		{"sweep", 2, false, func(w *process) error { return m.sweep(ctx, w, p) }},
		{"restore", 6, false, func(w *process) error { return m.restore(ctx, w, p) }},
		{"repair", 3, true, func(w *process) error { return m.repair(ctx, w) }},
	}
	sum := 0
	for _, w := range work {
		sum += w.weight
	}
	n := m.rng.IntN(sum)
	for _, w := range work {
		if n -= w.weight; n >= 0 {
			continue
		}
		// While something is damaged its good copy is not dropped: that would be bad luck, and no fault.
		if w.alone && m.busy[w.name] > 0 || w.name == "drop" && len(m.damaged) > 0 {
			return
		}
		if w.name == "repair" && len(m.damaged) == 0 && m.busy["drop"]+m.busy["sweep"]+m.busy["restore"]+m.busy["copy base"]+m.busy["copy log"] == 0 {
			m.damage(ctx)
		}
		m.counts[w.name]++
		m.busy[w.name]++
		m.note("%-12s begins", w.name)
		process := startProcess(w.name, w.do)
		process.settle()
		m.running = append(m.running, process)
		return
	}
}

// append adds some log; what was sealed and not acknowledged is sent again, as from a spool.
func (m *model) append(ctx context.Context, w *process, p *place) error {
	r, err := m.open(ctx, p, w)
	if err != nil {
		return err
	}
	if m.spool == nil {
		n := uint64(1 + m.rng.IntN(6))
		sealed, object, err := m.seal(ctx, r.Sealer(), m.seq, m.seq+n)
		if err != nil {
			return err
		}
		m.spool = &sealedObject{sealed, object}
	}
	s := m.spool
	to := s.sealed.Segment.To
	m.clock.forward(m.at(to.Seq))
	if _, err := r.AppendSegment(ctx, s.sealed, opener(s.object), history.Moment{Position: to, Time: m.at(to.Seq)}); err != nil {
		return err
	}
	seg := s.sealed.Segment
	seg.Name = repository.SegmentName(s.sealed)
	p.segments[seg.Name] = seg
	m.seq, m.spool = to.Seq, nil
	return nil
}

// seal makes one entry for all of a segment.
func (m *model) seal(ctx context.Context, sealer pack.SegmentSealer, from, to uint64) (pack.Sealed, []byte, error) {
	data := logFile(to, 200)
	entry := pack.SegmentEntry{File: fmt.Sprintf("%016x.ltx", to), Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
	mark := history.Mark{Position: history.At(1, to), Time: m.at(to)}
	var buf bytes.Buffer
	sealed, err := pack.SealSegment(ctx, &buf, sealer, pack.SegmentSpec{
		Segment: history.Segment{From: history.At(1, from), To: history.At(1, to), Since: m.at(from), Until: m.at(to), Commits: 1},
		Entries: slices.Values([]pack.SegmentEntry{entry}), Marks: slices.Values([]history.Mark{mark})})
	return sealed, buf.Bytes(), err
}

// base takes a base; half of them build on another one, which is claimed meanwhile.
func (m *model) base(ctx context.Context, w *process, p *place) (err error) {
	seq := m.seq
	increment := m.rng.IntN(2) == 0
	r, err := m.open(ctx, p, w)
	if err != nil {
		return err
	}
	at := history.At(1, seq)
	base := history.Base{Type: history.Full, SystemID: "id1", Start: at, Stop: at, StartTime: m.at(seq), StopTime: m.at(seq)}
	f, err := r.Facts(ctx)
	if err != nil {
		return err
	}
	if n := len(f.History.Bases); increment && n > 0 {
		parent := f.History.Bases[n-1]
		claim, err := r.Claim(ctx, history.Chain{Base: parent}, "increment", time.Hour)
		if isUnlisted(err) {
			return nil
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, claim.Release(ctx)) }()
		base.Type, base.Parent = history.Incremental, parent.ID
		m.counts["increment"]++
	}
	b, err := r.NewBase(ctx)
	if err != nil {
		return err
	}
	defer b.Abort()
	data := random(3000, seq)
	if err := b.Put(ctx, engine.File{Name: "app.db", Mode: 0o600, Size: int64(len(data)), ModTime: start}, bytes.NewReader(data)); err != nil {
		return err
	}
	taken, err := b.Commit(ctx, base)
	if err != nil && base.Parent != "" && strings.Contains(err.Error(), "builds on") {
		return nil // dropped between the two looks, before the claim
	}
	if err != nil {
		return err
	}
	p.bases[taken.ID] = taken
	return nil
}

func isUnlisted(err error) bool {
	var unlisted *repository.UnlistedError
	return errors.As(err, &unlisted)
}

// isGone reports whether an error says that an object was dropped.
func isGone(err error) bool {
	var corrupt *repository.CorruptError
	return isUnlisted(err) || errors.Is(err, fs.ErrNotExist) || errors.As(err, &corrupt) && corrupt.Err != nil
}

// both opens two places.
func (m *model) both(ctx context.Context, w *process, from, to *place) (a, b *repository.Repository, err error) {
	if a, err = m.open(ctx, from, w); err == nil {
		b, err = m.open(ctx, to, w)
	}
	return a, b, err
}

func (m *model) copyBase(ctx context.Context, w *process, from, to *place) error {
	pick := m.rng.IntN(1 << 20)
	a, b, err := m.both(ctx, w, from, to)
	if err != nil {
		return err
	}
	theirs, err1 := a.Facts(ctx)
	mine, err2 := b.Facts(ctx)
	if err := errors.Join(err1, err2); err != nil || len(theirs.History.Bases) == 0 {
		return err
	}
	has := func(id string) bool {
		return slices.ContainsFunc(mine.History.Bases, func(b history.Base) bool { return b.ID == id })
	}
	base := theirs.History.Bases[pick%len(theirs.History.Bases)]
	if has(base.ID) || base.Parent != "" && !has(base.Parent) {
		return nil
	}
	err = b.CopyBase(ctx, a, base.ID, nil)
	if isUnlisted(err) || err != nil && to.ordered["base/"+base.ID] && strings.Contains(err.Error(), "it was dropped here") || err != nil && strings.Contains(err.Error(), "builds on") {
		return nil
	}
	if err != nil && m.isDamaged(from, "base/"+base.ID) {
		return nil
	}
	if err != nil {
		return err
	}
	to.bases[base.ID] = base
	return nil
}

// isDamaged reports whether the model damaged something whose name begins so.
func (m *model) isDamaged(p *place, prefix string) bool {
	for name := range m.damaged {
		if p == m.places[0] && strings.HasPrefix(name, "app/"+prefix) {
			return true
		}
	}
	return false
}

func (m *model) copyLog(ctx context.Context, w *process, from, to *place) error {
	a, b, err := m.both(ctx, w, from, to)
	if err != nil {
		return err
	}
	theirs, err1 := a.Facts(ctx)
	mine, err2 := b.Facts(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for _, seg := range theirs.History.Segments {
		if slices.ContainsFunc(mine.History.Segments, func(s history.Segment) bool { return s.Name == seg.Name }) {
			continue
		}
		err := b.CopySegment(ctx, a, seg)
		if isGone(err) || err != nil && m.isDamaged(from, seg.Name) {
			return nil // dropped there
		}
		if err != nil {
			return err
		}
		to.segments[seg.Name] = seg
	}
	return nil
}

// drop decides, and drops what the decision lists.
func (m *model) drop(ctx context.Context, w *process, p *place) error {
	r, err := m.open(ctx, p, w)
	if err != nil {
		return err
	}
	f, err := r.Facts(ctx)
	if err != nil {
		return err
	}
	d := retention.Decide(f.History, m.rules, retention.Facts{}, m.clock.read())
	if len(d.Drop) == 0 {
		return nil
	}
	for _, name := range d.Names() {
		p.orders[name]++
		p.ordered[name] = true
	}
	dropped, err := r.Drop(ctx, repository.Order{Names: d.Names(), Reason: d.Summary, Decided: f.Head.Size})
	var claimed *repository.ClaimedError
	var stale *repository.StaleError
	if refused := errors.As(err, &claimed) || errors.As(err, &stale) || isUnlisted(err); refused {
		if claimed != nil {
			m.counts["claimed in time"]++
		}
		for _, name := range d.Names() {
			if p.orders[name]--; p.orders[name] == 0 { // another drop of the same may have been done meanwhile
				delete(p.ordered, name)
			}
		}
		return nil
	}
	m.counts["dropped"] += dropped.Deleted
	return err
}

func (m *model) sweep(ctx context.Context, w *process, p *place) error {
	r, err := m.open(ctx, p, w)
	if err != nil {
		return err
	}
	swept, err := r.Sweep(ctx, repository.SweepOptions{})
	m.counts["swept"] += len(swept)
	return err
}

// restore picks a moment, claims what it is recovered from, and reads all of it.
func (m *model) restore(ctx context.Context, w *process, p *place) (err error) {
	pick := m.rng.IntN(1 << 20)
	r, err := m.open(ctx, p, w, m.reader)
	if err != nil {
		return err
	}
	f, err := r.Facts(ctx)
	if err != nil {
		return err
	}
	windows := f.History.Windows()
	if len(windows) == 0 {
		return nil
	}
	window := windows[pick%len(windows)]
	seq := window.Start.Seq + uint64(pick)%(window.End.Seq-window.Start.Seq+1)
	chain, err := f.History.Chain(history.Target{Kind: history.AtPosition, Position: history.At(1, seq)})
	if err != nil {
		return err
	}
	if !m.unclaimed {
		claim, err := r.Claim(ctx, chain, "restore", time.Hour)
		if isUnlisted(err) {
			m.counts["claimed too late"]++
			return nil
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, claim.Release(ctx)) }()
	}
	err = readChain(ctx, r, chain)
	if err != nil && m.chainDamaged(p, chain) {
		return nil
	}
	m.counts["restored"]++
	return err
}

// chainDamaged reports whether the model damaged something of a chain.
func (m *model) chainDamaged(p *place, chain history.Chain) bool {
	return m.isDamaged(p, "base/"+chain.Base.ID) || slices.ContainsFunc(chain.Segments, func(s history.Segment) bool { return m.isDamaged(p, s.Name) })
}

// readChain reads a base and segments, and compares them with what was put in.
func readChain(ctx context.Context, r *repository.Repository, chain history.Chain) error {
	b, err := r.OpenBase(ctx, chain.Base.ID)
	if err != nil {
		return err
	}
	defer b.Close()
	if report, err := b.Verify(ctx, nil); err != nil || len(report.Damage) > 0 {
		return errors.Join(err, fmt.Errorf("base %s: damage %v", chain.Base.ID, report.Damage))
	}
	log := r.OpenLog(chain.Segments)
	for i, s := range chain.Segments {
		if err := readOne(ctx, log, i, logFile(s.To.Seq, 200)); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

func readOne(ctx context.Context, log engine.Log, i int, want []byte) error {
	seg, err := log.Open(ctx, i)
	if err != nil {
		return err
	}
	defer seg.Close()
	body, err := seg.Read(ctx, seg.Entries()[0])
	if err != nil {
		return err
	}
	got, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err == nil && !bytes.Equal(got, want) {
		err = errors.New("it is not what was put in")
	}
	return err
}

// damage alters or removes an object of the first place that the second one has, too.
func (m *model) damage(ctx context.Context) {
	one, two := m.places[0], m.places[1]
	var names []string
	for id := range one.bases {
		if _, copied := two.bases[id]; copied && !one.ordered["base/"+id] && !two.ordered["base/"+id] {
			names = append(names, "app/base/"+id+"/manifest", "app/base/"+id+"/pack-00001")
		}
	}
	for name := range one.segments {
		if _, copied := two.segments[name]; copied && !one.ordered[name] && !two.ordered[name] {
			names = append(names, "app/"+name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return
	}
	name := names[m.rng.IntN(len(names))]
	if _, err := one.store.Store.Stat(ctx, name); err != nil {
		return
	}
	if m.rng.IntN(2) == 0 {
		if err := one.store.Store.(*mem.Store).Alter(name, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }); err != nil {
			m.t.Fatal(err)
		}
	} else if err := one.store.Store.Delete(ctx, name); err != nil {
		m.t.Fatal(err)
	}
	m.damaged[name] = true
	m.note("damaged      %s", name)
}

// repair checks the first place and repairs it from the second.
func (m *model) repair(ctx context.Context, w *process) error {
	a, b, err := m.both(ctx, w, m.places[1], m.places[0])
	if err != nil {
		return err
	}
	known := slices.Collect(maps.Keys(m.damaged))
	report, err := b.Check(ctx, repository.CheckOptions{})
	if err != nil {
		return err
	}
	for _, d := range report.Damage {
		if !slices.Contains(known, d.Object) && d.Kind != repository.Unlisted {
			return fmt.Errorf("check finds damage that nobody did: %s", d)
		}
	}
	repaired, err := b.Repair(ctx, a, report.Damage)
	m.counts["repaired"] += len(repaired.Objects)
	for _, name := range repaired.Objects {
		delete(m.damaged, name)
	}
	return err
}

// compare demands that all is there that was acknowledged and not dropped.
func (m *model) compare(ctx context.Context) error {
	for range 2 { // the second time nothing is damaged
		w := startProcess("repair", func(w *process) error { return m.repair(ctx, w) })
		for w.settle(); !w.ended; w.settle() {
			w.let(m.rng, happens)
		}
		if w.result != nil {
			return fmt.Errorf("last repair: %w", w.result)
		}
	}
	for _, p := range m.places {
		r, err := m.open(ctx, p, nil, m.reader)
		if err != nil {
			return err
		}
		report, err := r.Check(ctx, repository.CheckOptions{Deep: true})
		if err != nil {
			return err
		}
		for _, d := range report.Damage {
			// Log may be dropped in one place before it was copied to the other: there a gap was never recorded.
			if d.Kind != repository.Unlisted && (d.Kind != repository.Broken || p == m.places[0]) {
				return fmt.Errorf("place %s: %s", p.name, d)
			}
		}
		f, err := r.Facts(ctx)
		if err != nil {
			return err
		}
		if err := p.compare(ctx, r, f.History); err != nil {
			return fmt.Errorf("place %s: %w", p.name, err)
		}
	}
	return nil
}

// compare demands of one place that what was acknowledged is listed, and that every base and the log behind it recovers.
func (p *place) compare(ctx context.Context, r *repository.Repository, h history.History) error {
	for id := range p.bases {
		if !p.ordered["base/"+id] && !slices.ContainsFunc(h.Bases, func(b history.Base) bool { return b.ID == id }) {
			return fmt.Errorf("base %s is lost", id)
		}
	}
	for name := range p.segments {
		if !p.ordered[name] && !slices.ContainsFunc(h.Segments, func(s history.Segment) bool { return s.Name == name }) {
			return fmt.Errorf("segment %s is lost", name)
		}
	}
	for _, b := range h.Bases {
		if b.Parent != "" && !slices.ContainsFunc(h.Bases, func(o history.Base) bool { return o.ID == b.Parent }) {
			return fmt.Errorf("base %s stays, and %s, which it builds on, is gone", b.ID, b.Parent)
		}
	}
	for _, w := range h.Windows() {
		for _, at := range []history.Position{w.Start, w.End} {
			chain, err := h.Chain(history.Target{Kind: history.AtPosition, Position: history.At(1, at.Seq)})
			if err != nil {
				return err
			}
			if err := readChain(ctx, r, chain); err != nil {
				return fmt.Errorf("recover to %s: %w", at, err)
			}
		}
	}
	return nil
}
