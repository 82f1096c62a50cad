package postgres

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// chunked feeds b to f in chunks of n bytes.
func chunked(b []byte, n int, f func([]byte)) {
	for len(b) > 0 {
		k := min(n, len(b))
		f(b[:k])
		b = b[k:]
	}
}

func FuzzWalker(f *testing.F) {
	f.Add(frame(frame(nil, 'Q', text("select 1")), 'X'), 1)
	f.Add([]byte("D\x00\x00\x00\x03"), 3)
	f.Add([]byte("D\xff\xff\xff\xff"), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		whole, parts := collect(b, len(b)+1), collect(b, 1+abs(n)%7)
		if whole != parts {
			t.Errorf("read at once %q, in pieces %q", whole, parts)
		}
	})
}

func abs(n int) int { return max(n, -(n + 1)) }

// collect puts the messages of b, read in chunks, into one text.
func collect(b []byte, size int) string {
	var w walker
	var out strings.Builder
	failed := false
	chunked(b, size, func(c []byte) {
		for len(c) > 0 && !failed {
			p, rest, ok, err := w.next(c)
			if failed = err != nil; failed {
				return
			}
			if len(rest) > len(c) {
				panic("the rest grew")
			}
			c = rest
			if !ok {
				continue
			}
			if p.first {
				fmt.Fprintf(&out, "<%c>", p.kind)
			}
			out.Write(p.body)
			if p.last {
				out.WriteString("</>")
			}
		}
	})
	return fmt.Sprint(out.String(), failed, failed || w.between())
}

// FuzzTracker holds that it does not matter where a stream was cut, and that nothing a peer sends is taken for idle
// while an answer is owed.
func FuzzTracker(f *testing.F) {
	parse := frame(nil, 'P', text("s"), text("commit"), []byte{0, 0})
	bind := frame(nil, 'B', text(""), text("s"), []byte{0, 0, 0, 0, 0, 0})
	sync := frame(nil, 'S')
	ready := frame(nil, 'Z', []byte("I"))
	f.Add(append(append(parse, bind...), sync...), append(frame(nil, 'S', text("a"), text("b")), ready...), 3)
	f.Add(frame(nil, 'Q', text("copy t from stdin")), append(frame(nil, 'G', []byte{0, 0, 0}), ready...), 1)
	f.Add([]byte{'?', 0, 0, 0, 4}, []byte{'E', 0, 0, 0, 4}, 2)
	f.Fuzz(func(t *testing.T, up, down []byte, n int) {
		var at [2]tracker
		for i, size := range []int{1 << 20, 1 + abs(n)%5} {
			at[i].status = 'I'
			failed := false
			chunked(up, size, func(b []byte) { failed = failed || at[i].client(b) != nil })
			chunked(down, size, func(b []byte) {
				_, err := at[i].server(b)
				failed = failed || err != nil
			})
			if failed {
				return
			}
		}
		a, b := &at[0], &at[1]
		if a.idle() != b.idle() || a.unknown() != b.unknown() || a.scan.doubt != b.scan.doubt || fmt.Sprint(a.scan.names) != fmt.Sprint(b.scan.names) {
			t.Errorf("at once: idle %v unknown %v %q %v, in pieces: idle %v unknown %v %q %v", a.idle(), a.unknown(), a.scan.doubt, a.scan.names,
				b.idle(), b.unknown(), b.scan.doubt, b.scan.names)
		}
		if a.idle() && a.pending != 0 {
			t.Error("idle while an answer is owed")
		}
	})
}

func FuzzStartup(f *testing.F) {
	p := parameters{{"user", "u"}, {"database", "d"}}
	f.Add(p.packet())
	f.Add([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"))
	f.Add([]byte("\x00\x00\x00\x1c\x00\x03\x00\x02user\x00u\x00_pq_.x\x00y\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readStartup(bytes.NewReader(b), nil)
		if err != nil {
			return
		}
		p, _, err := s.parameters()
		if err != nil {
			return
		}
		again, err := readStartup(bytes.NewReader(p.packet()), nil)
		if err != nil {
			t.Fatal(err)
		}
		q, _, err := again.parameters()
		if err != nil || fmt.Sprint(p) != fmt.Sprint(q) {
			t.Errorf("%v became %v, %v", p, q, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	row := binary.BigEndian.AppendUint16(nil, 4)
	for _, v := range []string{"statement", "s", "select $1", "23 25"} {
		row = append(binary.BigEndian.AppendUint32(row, uint32(len(v))), v...)
	}
	f.Add(frame(frame(frame(nil, 'D', row), 'C', text("SELECT 1")), 'Z', []byte("I")))
	f.Add(frame(nil, 'E', []byte("SERROR\x00C42501\x00Mno\x00\x00")))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, over, err := answered(b)
		if err != nil || !over {
			return
		}
		h := read(all)
		out, owed := h.messages()
		if _, _, err := answered(out); err != nil || owed > 0 && len(out) == 0 {
			t.Errorf("%+v became %q", h, out)
		}
	})
}

func FuzzVerifier(f *testing.F) {
	f.Add(kept("secret"))
	f.Add("md5d3d6ac7d9d6a8d1e")
	f.Add("SCRAM-SHA-256$4096:c2FsdA==$AA==:AA==")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := parseVerifier(s); err == nil && (v.iterations < 1 || len(v.salt) == 0) {
			t.Errorf("%q was taken", s)
		}
	})
}

// kept is the verifier of a password as a server makes it.
func kept(password string) string {
	salted, err := pbkdf2.Key(sha256.New, password, []byte("some salt"), 4096, 32)
	if err != nil {
		panic(err)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$4096:%s$%s:%s", b64([]byte("some salt")), b64(stored[:]), b64(mac(salted, "Server Key")))
}

func TestALoginShowsAKeyThatLogsInElsewhere(t *testing.T) {
	v, err := parseVerifier(kept("secret"))
	if err != nil {
		t.Fatal(err)
	}
	salted, _ := pbkdf2.Key(sha256.New, "secret", []byte("some salt"), 4096, 32)
	client := response{}
	copy(client.client[:], mac(salted, "Client Key"))
	copy(client.server[:], mac(salted, "Server Key"))
	for range 2 { // the second time with the key that the first login showed
		server := exchange{verifier: v}
		challenge, err := server.challenge(client.begin())
		if err != nil {
			t.Fatal(err)
		}
		proof, err := client.prove(challenge)
		if err != nil {
			t.Fatal(err)
		}
		answer, key, err := server.finish(proof)
		if err != nil || !client.signed(answer) {
			t.Fatalf("%v, %q", err, answer)
		}
		if client.signed("v=" + base64.StdEncoding.EncodeToString(make([]byte, 32))) {
			t.Error("a wrong signature was taken")
		}
		client = response{credential: key}
	}
	client.client[3]++
	server := exchange{verifier: v}
	challenge, _ := server.challenge(client.begin())
	proof, _ := client.prove(challenge)
	if _, _, err := server.finish(proof); err != errPassword {
		t.Errorf("a wrong key: %v", err)
	}
}

func FuzzScram(f *testing.F) {
	f.Add("n,,n=,r=abc", "c=biws,r=abc,p=AAAA")
	f.Add("p=tls-unique,,n=,r=abc", "")
	f.Add("n,,", ",p=")
	f.Fuzz(func(t *testing.T, first, last string) {
		x := exchange{verifier: mock([]byte("secret"), "u")}
		if _, err := x.challenge(first); err != nil {
			return
		}
		if _, _, err := x.finish(last); err == nil {
			t.Error("a proof for a password that nobody has")
		}
	})
}

func TestScan(t *testing.T) {
	for _, c := range []struct {
		text   string
		commit bool
		doubt  bool
		names  string
	}{
		{"select 1", false, false, ""},
		{"COMMIT", true, false, ""},
		{"select ';/*'; commit", true, false, ""},
		{" /* a /* b */ c */ -- d\n End", true, false, ""},
		{"update committed set x = 1 where note = 'commit'", false, false, ""},
		{"PREPARE TRANSACTION 'x'", true, false, ""},
		{"select case when a then b end from t", false, false, ""},
		{"set app.tenant = 'x'", false, false, "app.tenant"},
		{`SET SESSION "app"."Tenant" TO 'x'`, false, false, "app.tenant"},
		{"set local a.b = 1; set c.d = 2", false, false, "a.b c.d"},
		{"select set_config('app.user', $1, true)", false, false, "app.user"},
		{"select pg_catalog.set_config ( 'work_mem', '1', false)", false, false, ""},
		{"select set_config($1, $2, false)", false, true, ""},
		{"select set_config(E'app.x', '', false)", false, true, ""},
		{"select set_config(name, v, false) from t", false, true, ""},
		{"select set_config('app.' || $1, '', false)", false, true, "app."},
		{"select set_config('app.x y', '', false)", false, true, "app.x"},
		{"select set_config", false, true, ""},
		{"select currval('s')", false, true, ""},
		{"load 'x'", false, true, ""},
		{"do $$ begin perform set_config('q.r', '1', false); end $$", true, false, "q.r"},
		{strings.Repeat("x", 200) + " ; commit", true, false, ""},
	} {
		var s scan
		s.reset()
		s.feed([]byte(c.text))
		s.done()
		if s.mayCommit != c.commit || (s.doubt != "") != c.doubt || strings.Join(s.names, " ") != c.names {
			t.Errorf("%.60q: commit %v, doubt %q, names %q", c.text, s.mayCommit, s.doubt, s.names)
		}
	}
}

func TestTrackerKnowsWhenASessionIsIdle(t *testing.T) {
	q, sync, flush := frame(nil, 'Q', text("x")), frame(nil, 'S'), frame(nil, 'H')
	execute := frame(nil, 'E', []byte{0, 0, 0, 0, 0})
	ready := func(status string) []byte { return frame(nil, 'Z', []byte(status)) }
	copyIn := frame(nil, 'G', []byte{0, 0, 0})
	done := frame(nil, 'c')
	for _, c := range []struct {
		name  string
		steps [][]byte // from the client; those after nil from the server, in turn
		idle  bool
	}{
		{"a query", [][]byte{q, nil, ready("I")}, true},
		{"a query without an answer", [][]byte{q}, false},
		{"two, one answer", [][]byte{q, q, nil, ready("I")}, false},
		{"a transaction", [][]byte{q, nil, ready("T")}, false},
		{"no Sync", [][]byte{execute, flush}, false},
		{"a Sync", [][]byte{execute, sync, nil, ready("I")}, true},
		{"a COPY that takes data", [][]byte{q, nil, copyIn}, false},
		{"a COPY that is over", [][]byte{q, nil, copyIn, nil, done, nil, ready("I")}, true},
		{"a COPY that swallowed a Sync", [][]byte{execute, sync, nil, copyIn, nil, done, sync, nil, ready("I")}, true},
		{"half a message", [][]byte{q[:3]}, false},
		{"an answer that nobody asked for", [][]byte{nil, ready("I")}, false},
	} {
		tr := tracker{status: 'I'}
		client := true
		for _, b := range c.steps {
			var err error
			switch {
			case b == nil:
				client = !client
			case client:
				err = tr.client(b)
			default:
				_, err = tr.server(b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if tr.idle() != c.idle {
			t.Errorf("%s: idle %v: %+v", c.name, tr.idle(), tr)
		}
	}
}
