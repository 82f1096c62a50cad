package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestAMemberThatIsCopiedAnewIsNotCounted: its promise proves nothing for hours, and one that is whole must do meanwhile.
func TestAMemberThatIsCopiedAnewIsNotCounted(t *testing.T) {
	peers := []Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}
	seen := func(n int, blank bool, q Quorum, silent time.Duration) View {
		v := View{BeatSeen: -time.Minute, Began: -time.Minute, Since: -time.Minute}
		for _, p := range peers[:n] {
			f := Fact{Name: p.Name, Answered: time.Second, Role: Standby, SystemID: "1", Heard: time.Second - silent, Vouched: Never, Stalled: Never, Short: Never, Received: history.At(1, 100), Following: "db1", Promised: 1}
			if p.Name == "db1" {
				f.Role, f.Following, f.Epoch, f.Counting, f.Switched, f.Answered = Primary, "", 1, q, history.At(1, 100), time.Second-silent
				for _, other := range peers[1:n] {
					f.Streams = append(f.Streams, Stream{other.Name, history.At(1, 100)})
				}
			}
			if f.Blank = blank && p.Name == peers[n-1].Name; f.Blank {
				f.Received = history.Position{}
			}
			v.Facts = append(v.Facts, f)
		}
		return v
	}
	both := Quorum{Step: 1, Epoch: 1, Primary: "db1", Names: []string{"db2", "db3"}, K: 1}
	cfg := Config{Cluster: "shop", Sync: 1, Peers: peers}.WithDefaults()
	s := State{Epoch: 1, Phase: Serving, Step: 1, Primary: "db1", Timeline: 1, Quorums: []Quorum{both}}
	if d := Decide(cfg, s, seen(3, true, both, time.Minute), time.Second); d.Row != "endure" {
		t.Fatalf("before it is left out: %s: %s", d.Row, d.Reason)
	}
	for _, c := range []struct {
		blank bool
		want  string
	}{{true, "[db2]"}, {false, "[db2 db3]"}} {
		d := Decide(cfg, s, seen(3, c.blank, s.Quorums[0], 0), time.Second)
		if d.Row != "change quorum" || fmt.Sprint(d.Next.Quorums[1].Names) != c.want || d.Next.Quorums[1].K != 1 {
			t.Fatalf("blank %v: %s: %+v", c.blank, d.Row, d.Next.Quorums)
		}
		s = d.Next
		d = Decide(cfg, s, seen(3, c.blank, s.Quorums[1], 0), time.Second)
		if d.Row != "drop old quorum" {
			t.Fatalf("blank %v: %s", c.blank, d.Row)
		}
		s = d.Next
		if d := Decide(cfg, s, seen(3, c.blank, s.Quorums[0], time.Minute), time.Second); d.Row != "take over" {
			t.Errorf("blank %v, and the primary is lost: %s: %s", c.blank, d.Row, d.Reason)
		}
	}

	two := Config{Cluster: "shop", Sync: 1, Peers: peers[:2]}.WithDefaults()
	s.Quorums = []Quorum{{Step: 1, Epoch: 1, Primary: "db1", Names: []string{"db2"}, K: 1}}
	if d := Decide(two, s, seen(2, true, s.Quorums[0], 0), time.Second); d.Row != "serve" {
		t.Errorf("with nobody else to have a commit: %s: %+v", d.Row, d.Next.Quorums)
	}
}

// TestNobodyGoesOnAloneUnasked: who must have a commit is lowered when the primary said for long enough that nobody streams from it, not when
// it may have died since it said so first.
func TestNobodyGoesOnAloneUnasked(t *testing.T) {
	cfg := Config{Cluster: "shop", Sync: 1, Degraded: true, Peers: []Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}}.WithDefaults()
	q := Quorum{Step: 1, Epoch: 1, Primary: "db1", Names: []string{"db2", "db3"}, K: 1}
	s := State{Epoch: 1, Phase: Serving, Step: 1, Primary: "db1", Timeline: 1, Quorums: []Quorum{q}}
	now := time.Minute
	for answered, want := range map[time.Duration]string{now - cfg.After/2: "serve", now - time.Millisecond: "change quorum"} {
		v := View{BeatSeen: now}
		for _, name := range []string{"db1", "db2", "db3"} {
			v.Facts = append(v.Facts, Fact{Name: name, Answered: answered, Role: Standby, SystemID: "1", Heard: Never, Vouched: Never, Stalled: Never, Short: Never, Received: history.At(1, 100), Promised: 1})
		}
		p := &v.Facts[0]
		p.Role, p.Epoch, p.Counting, p.Switched, p.Short = Primary, 1, q, history.At(1, 100), now-cfg.Patience-cfg.After/4
		if d := Decide(cfg, s, v, now); d.Row != want {
			t.Errorf("answered %s ago: %s: %s; want %s", now-answered, d.Row, d.Reason, want)
		}
	}
}

// seconds is a cluster of db1, which is primary, db2 and db3, looked at once a second.
type seconds struct {
	cfg      Config
	s        State
	v        View
	at       time.Duration
	switched uint64        // where the primary's log was when it began to count whom it counts
	short    time.Duration // Fact.Short of the primary
}

func newSeconds(degraded bool, switched uint64, quorums ...Quorum) *seconds {
	c := &seconds{at: time.Minute, switched: switched, short: Never, v: View{Facts: []Fact{noFact, noFact, noFact}}}
	c.cfg = Config{Cluster: "shop", Sync: 1, Degraded: degraded, Peers: []Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}}.WithDefaults()
	c.s = State{Epoch: 1, Phase: Serving, Step: quorums[len(quorums)-1].Step, Primary: "db1", Timeline: 1, Quorums: quorums}
	for i, p := range c.cfg.Peers {
		c.v.Facts[i].Name = p.Name
	}
	return c
}

func (c *seconds) last() Quorum { return c.s.Quorums[len(c.s.Quorums)-1] }

// look decides a second later, when those stream and answer.
func (c *seconds) look(streams ...string) Decision {
	c.at += time.Second
	for _, name := range append(streams, "db1") {
		f := noFact
		f.Name, f.Answered, f.Role, f.SystemID, f.Received, f.Promised, f.Following = name, c.at, Standby, "1", history.At(1, 100), 1, "db1"
		if name == "db1" {
			f.Role, f.Following, f.Epoch, f.Counting, f.Switched, f.Short = Primary, "", 1, c.last(), history.At(1, c.switched), c.short
			for _, other := range streams {
				f.Streams = append(f.Streams, Stream{other, history.At(1, 100)})
			}
		}
		c.v.Note(f)
	}
	c.v.BeatSeen = c.at
	d := Decide(c.cfg, c.s, c.v, c.at)
	c.s = d.Next
	return d
}

// TestAQuorumThatCannotBeIsGivenUp: a member that was to be waited for from now on goes before it has what was acknowledged before. A primary that may
// go on alone does, and one that may not waits for another member that is there.
func TestAQuorumThatCannotBeIsGivenUp(t *testing.T) {
	for degraded, want := range map[bool]string{true: "2: 0 of [db2 db3]", false: "3: 1 of [db2]"} { // that it goes on alone may have been recorded before
		alone := Quorum{Step: 1, Epoch: 1, Primary: "db1", Names: []string{"db2", "db3"}}
		asked := Quorum{Step: 2, Epoch: 1, Primary: "db1", Names: []string{"db3"}, K: 1}
		c := newSeconds(degraded, 200, alone, asked)
		for range 5 { // it streams, and catches up
			if d := c.look("db3"); d.Row != "serve" {
				t.Fatalf("degraded %v, while db3 catches up: %s: %s", degraded, d.Row, d.Reason)
			}
		}
		var there []string
		if c.short = c.at; !degraded {
			c.short, there = Never, []string{"db2"}
		}
		var d Decision
		for range 4 {
			if d = c.look(there...); d.Row != "serve" {
				break
			}
		}
		if got := fmt.Sprintf("%d: %d of %v", len(c.s.Quorums), c.last().K, c.last().Names); d.Row != "change quorum" || got != want {
			t.Fatalf("degraded %v, db3 is away: %s: %s; recorded are %s, want %s", degraded, d.Row, d.Reason, got, want)
		}
		if degraded {
			if d = c.look(); d.Row != "drop old quorum" || len(c.s.Quorums) != 1 {
				t.Errorf("alone: %s: %s; %+v", d.Row, d.Reason, c.s.Quorums)
			}
			continue
		}
		if d = c.look(there...); d.Row != "serve" {
			t.Errorf("while db2 lacks what was acknowledged: %s: %s", d.Row, d.Reason)
		}
		for i, name := range []string{"db3", "db2", "db3", "db2"} { // they come and go in turn
			for range 5 {
				d = c.look(name)
			}
			if len(c.s.Quorums) != 3 || fmt.Sprint(c.last().Names) != "["+name+"]" {
				t.Errorf("after %d turns %d quorums are recorded, the last is %+v", i+1, len(c.s.Quorums), c.last())
			}
		}
	}
}

// TestAMemberThatIsAwayIsNotCounted: who alone can have acknowledged may take over without it, and it is counted again when it streams.
func TestAMemberThatIsAwayIsNotCounted(t *testing.T) {
	both := Quorum{Step: 1, Epoch: 1, Primary: "db1", Names: []string{"db2", "db3"}, K: 1}
	c := newSeconds(false, 100, both)
	expect := func(row, names string, streams ...string) {
		t.Helper()
		d := c.look(streams...)
		if got := fmt.Sprint(c.last().Names); d.Row != row || got != names {
			t.Fatalf("%v stream: %s: %s; counted are %s, want %s", streams, d.Row, d.Reason, got, names)
		}
	}
	expect("serve", "[db2 db3]", "db2", "db3")
	for range 5 { // it comes and goes
		expect("serve", "[db2 db3]", "db2")
		expect("serve", "[db2 db3]", "db2")
		expect("serve", "[db2 db3]", "db2", "db3")
	}
	expect("serve", "[db2 db3]", "db2")
	expect("serve", "[db2 db3]", "db2")
	if why := Hindrance(c.cfg, c.s, c.v, c.at); !strings.Contains(why, "1 of [db2 db3] answer, 2 are needed") {
		t.Errorf("while db3 is counted and away: %q", why)
	}
	expect("change quorum", "[db2]", "db2")
	expect("drop old quorum", "[db2]", "db2")
	if why := Hindrance(c.cfg, c.s, c.v, c.at); why != "" {
		t.Errorf("while it is left out: %q", why)
	}
	if d := Decide(c.cfg, c.s, c.v, c.at+time.Minute); d.Row == "take over" {
		t.Errorf("nobody answers: %s", d.Reason)
	}
	silent := c.v
	silent.Facts = slices.Clone(c.v.Facts)
	silent.Facts[1].Answered, silent.Facts[1].Heard = c.at+2*time.Second, c.at
	if d := Decide(c.cfg, c.s, silent, c.at+2*time.Second); d.Row != "take over" {
		t.Errorf("the primary is lost: %s: %s", d.Row, d.Reason)
	}
	for range 5 { // nobody is there: nothing is gained by another set
		expect("serve", "[db2]")
	}
	if why := Hindrance(c.cfg, c.s, c.v, c.at); why == "" {
		t.Error("nobody is there, and all is well")
	}
	expect("change quorum", "[db3]", "db3") // what was acknowledged is db2's until db3 has it
	if why := Hindrance(c.cfg, c.s, c.v, c.at); !strings.Contains(why, "0 of [db2] answer") {
		t.Errorf("before db3 has what db2 acknowledged: %q", why)
	}
	expect("drop old quorum", "[db3]", "db3")
	expect("change quorum", "[db2 db3]", "db2", "db3")
	expect("drop old quorum", "[db2 db3]", "db2", "db3")

	c.v.Began, c.v.Since = c.at, c.at // another keeper, which has seen nothing yet
	c.v.Facts[2].Streamed, c.v.Facts[2].Answered = Never, Never
	expect("serve", "[db2 db3]", "db2")
	c.s.Quorums[0].Names = []string{"db2"}
	expect("serve", "[db2]", "db2") // one that was left out is not named for want of knowledge
}
