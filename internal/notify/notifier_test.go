package notify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// far is a receiver that does as it is told.
type far struct {
	mu    sync.Mutex
	fail  error
	hang  bool
	taken []Message
	tries int
}

func (f *far) Send(ctx context.Context, m Message) error {
	f.mu.Lock()
	fail, hang := f.fail, f.hang
	f.tries++
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if fail != nil {
		return fail
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken = append(f.taken, m)
	return nil
}

func (f *far) set(fail error, hang bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.hang = fail, hang
}

// got returns what f took, one word for each change, and forgets it.
func (f *far) got() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []string
	for _, m := range f.taken {
		for _, c := range m.Changes {
			words = append(words, string(c.Kind)+":"+c.Fingerprint)
		}
	}
	f.taken = nil
	return strings.Join(words, " ")
}

// tried returns how often f was called.
func (f *far) tried() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tries
}

// start opens a notifier in dir with receivers a and b and runs it until stop is called.
func start(t *testing.T, dir string, a, b Sender) (n *Notifier, stop func()) {
	t.Helper()
	n, err := Open(Config{Dir: dir, Host: "db1", Receivers: []Receiver{{Name: "a", Sender: a}, {Name: "b", Sender: b}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestDeadReceiverHoldsUpNobodyAndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &far{hang: true}, &far{}
		n, stop := start(t, t.TempDir(), a, b)
		defer stop()
		n.Report("policy", []Notice{rpo("orders", Critical)})
		time.Sleep(5 * time.Second)
		if got := b.got(); got != "began:rpo/orders" {
			t.Fatalf("b was told %q within 5s", got)
		}
		time.Sleep(3 * time.Minute)
		if got := b.got(); got != "began:notices/a" {
			t.Fatalf("b was told %q of the dead receiver", got)
		}
		s := n.Status()
		if !s.Well() || !s.Receivers[0].Dead || s.Receivers[0].Waiting != 1 || s.Receivers[1].Dead {
			t.Errorf("status %+v", s)
		}
		a.set(nil, false)
		time.Sleep(longestWait + sendTime)
		if got := a.got(); got != "began:rpo/orders" {
			t.Errorf("a was told %q after it came back; the state of itself is not its news", got)
		}
		if got := b.got(); got != "ended:notices/a" {
			t.Errorf("b was told %q after a came back", got)
		}
	})
}

func TestAllReceiversDeadIsNotWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &far{fail: &Failure{Reason: "gone", Permanent: true}}, &far{fail: errors.New("refused")}
		n, stop := start(t, t.TempDir(), a, b)
		defer stop()
		n.Report("policy", []Notice{rpo("orders", Critical)})
		time.Sleep(10 * time.Second)
		if s := n.Status(); !s.Well() || !s.Receivers[0].Dead || s.Receivers[1].Dead {
			t.Errorf("after 10s: %+v", s)
		}
		time.Sleep(5 * time.Minute)
		if s := n.Status(); s.Well() {
			t.Errorf("after 5m: %+v", s)
		}
	})
}

func TestRefusedMessageDoesNotBlockAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &far{fail: &Failure{Reason: "too long", Permanent: true}}
		n, stop := start(t, t.TempDir(), a, &far{})
		defer stop()
		n.Report("policy", []Notice{rpo("one", Critical)})
		time.Sleep(5 * time.Second)
		a.set(nil, false)
		n.Report("policy", []Notice{rpo("one", Critical), rpo("two", Critical)})
		time.Sleep(5 * time.Second)
		if got := a.got(); got != "began:rpo/two" {
			t.Fatalf("behind a refused message a was told %q", got)
		}
		time.Sleep(askAgain)
		if got := a.got(); got != "began:rpo/one" {
			t.Fatalf("an hour later a was told %q", got)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue("a")
	var dropped int
	for i := range 2 * bound {
		e := &entry{seq: uint64(i), m: Message{Changes: []Change{{Kind: Happened}}}}
		if i%10 == 0 {
			e.m.Severity = Critical
		}
		dropped += len(q.add(e))
	}
	critical := 0
	for _, e := range q.entries {
		if e.m.Severity == Critical {
			critical++
		}
	}
	if len(q.entries) != bound || dropped != bound || q.lost != bound || critical != 2*bound/10+1 {
		t.Errorf("%d wait, %d of them critical, %d dropped, %d lost", len(q.entries), critical, dropped, q.lost)
	}
	repeat := &entry{m: Message{Kind: Changes, Changes: []Change{{Kind: Lasts}}}}
	if got := q.add(repeat); len(got) != 1 || got[0] != repeat {
		t.Error("a mere repeat joins a queue that is full")
	}
}

func TestTriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := &far{fail: errors.New("connection refused")}
		n, stop := start(t, dir, a, &far{})
		for i := range 10 {
			if err := n.Tell(Notice{Fingerprint: "event", Objective: "gap", Reason: "x", Since: time.Unix(int64(i), 0)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		time.Sleep(2 * day)
		if a.tried() > 2*24*60 || n.Status().Receivers[0].Lost != 10 {
			t.Errorf("%d tries, %d lost", a.tried(), n.Status().Receivers[0].Lost)
		}
		a.set(nil, false)
		n.Report("policy", []Notice{rpo("orders", Critical)})
		time.Sleep(longestWait)
		if got := a.got(); got != "began:rpo/orders" {
			t.Errorf("after two days a is told %q", got)
		}
		stop()
		if files, _ := filepath.Glob(filepath.Join(dir, "0*.json")); len(files) != 0 {
			t.Errorf("files after all was sent or given up: %v", files)
		}
	})
}

// The state goes with the daemon: nothing is told again after a restart, what waited is sent, and what ended meanwhile is
// told.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, b := &far{fail: errors.New("down")}, &far{}
		n, stop := start(t, dir, a, b)
		n.Report("policy", []Notice{rpo("orders", Critical), rpo("shop", Critical)})
		time.Sleep(2 * time.Minute)
		stop()
		if got := b.got(); got != "began:rpo/orders began:rpo/shop began:notices/a" {
			t.Fatalf("b was told %q", got)
		}
		n, stop = start(t, dir, a, b)
		n.Report("policy", []Notice{rpo("orders", Critical)})
		time.Sleep(time.Hour)
		if got := b.got(); got != "ended:rpo/shop" {
			t.Errorf("after a restart b was told %q", got)
		}
		a.set(nil, false)
		time.Sleep(longestWait)
		stop()
		if got := a.got(); got != "began:rpo/orders began:rpo/shop ended:rpo/shop" {
			t.Errorf("a was told %q", got)
		}
	})
}

func TestDamagedStateIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for name, data := range map[string]string{stateFile: `{"version":1,"seq":`, "0000000000000001.json": `{"id":`} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a := &far{}
		n, stop := start(t, dir, a, &far{})
		defer stop()
		if n.Status().Damaged == "" {
			t.Error("the status does not say that the state was damaged")
		}
		if _, err := os.Stat(filepath.Join(dir, stateFile+".damaged")); err != nil {
			t.Error(err)
		}
		n.Report("policy", []Notice{rpo("orders", Critical)})
		time.Sleep(5 * time.Second)
		if got := a.got(); got != "began:rpo/orders" {
			t.Errorf("a was told %q", got)
		}
	})
}

// A disk that takes nothing is what alarms are about: people are told all the same.
func TestFullDiskIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "notices")
		a := &far{}
		n, stop := start(t, dir, a, &far{})
		defer stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.Tell(Notice{Fingerprint: "gap", Objective: "gap", Severity: Critical, Reason: "x"}); err == nil {
			t.Error("Tell says that the event is durable")
		}
		time.Sleep(5 * time.Second)
		if got := a.got(); got != "happened:gap began:notices/disk" && got != "happened:gap" {
			t.Errorf("a was told %q", got)
		}
		if n.Status().Disk == "" {
			t.Error("the status does not say that the disk takes nothing")
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := a.got(); !strings.Contains(got, "ended:notices/disk") || n.Status().Disk != "" {
			t.Errorf("a was told %q, status %q", got, n.Status().Disk)
		}
	})
}

func TestAcknowledgeAndTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &far{}
		n, stop := start(t, t.TempDir(), a, &far{fail: errors.New("down")})
		defer stop()
		n.Report("policy", []Notice{rpo("orders", Critical)})
		if err := n.Acknowledge("rpo/nothing", "anna"); !errors.Is(err, ErrUnknown) {
			t.Errorf("unknown fingerprint: %v", err)
		}
		if err := n.Acknowledge("rpo/orders", "anna"); err != nil {
			t.Error(err)
		}
		if s := n.Status(); len(s.Open) != 1 || s.Open[0].Known != "anna" {
			t.Errorf("open %+v", s.Open)
		}
		if err := n.Try(t.Context(), "a"); err != nil || len(a.taken) != 1 || a.taken[0].Kind != Test {
			t.Errorf("try: %v, took %v", err, a.taken)
		}
		if err := n.Try(t.Context(), "b"); err == nil || err.Error() != "try receiver b: down" {
			t.Errorf("try a dead one: %v", err)
		}
		if err := n.Try(t.Context(), "c"); !errors.Is(err, ErrUnknown) {
			t.Errorf("try an unknown one: %v", err)
		}
	})
}

// TestReceiversAreReplaced puts another receiver in the place of one while a message to the one that stays is on its way.
func TestReceiversAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := &far{hang: true}, &far{}, &far{}
		n, stop := start(t, t.TempDir(), a, b)
		defer stop()
		n.Report("policy", []Notice{rpo("one", Critical)})
		time.Sleep(5 * time.Second)
		if got := b.got(); got != "began:rpo/one" {
			t.Fatalf("b was told %q", got)
		}
		if err := n.Replace([]Receiver{{Name: "a", Sender: a}, {Name: "a", Sender: c}}); err == nil {
			t.Error("two receivers of one name are taken")
		}
		a.set(nil, false)
		if err := n.Replace([]Receiver{{Name: "a", Sender: a}, {Name: "c", Sender: c}}); err != nil {
			t.Fatal(err)
		}
		n.Report("policy", []Notice{rpo("one", Critical), rpo("two", Critical)})
		time.Sleep(2 * longestWait)
		if got := a.got(); !strings.Contains(got, "began:rpo/one") || !strings.Contains(got, "began:rpo/two") {
			t.Errorf("a, who stays, was told %q", got)
		}
		if got := c.got(); !strings.Contains(got, "began:rpo/two") {
			t.Errorf("c, who is new, was told %q", got)
		}
		if got := b.got(); got != "" {
			t.Errorf("b, who is gone, was told %q", got)
		}
		if s := n.Status(); len(s.Receivers) != 2 || s.Receivers[1].Name != "c" || !s.Well() {
			t.Errorf("status %+v", s)
		}
	})
}
