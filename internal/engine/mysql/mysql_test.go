package mysql

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

func TestURLs(t *testing.T) {
	for raw, want := range map[string]string{"mysql://b@10.0.0.2": "10.0.0.2:3306", "mariadb://b@db:33/?auth=env:X&tls=skip-verify": "db:33"} {
		if l, err := (Engine{}).Member(raw); err != nil || l.Address() != want {
			t.Errorf("%s: %v, %v", raw, l, err)
		}
	}
	for _, raw := range []string{"mysql://10.0.0.2", "mysql://b@db/shop", "mysql://b@db?tls=maybe", "mysql://b@db?auth=hunter2", "mysql://%zz"} {
		if _, err := (Engine{}).Member(raw); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// packets are what a server sends, one after the other.
func packets(all ...string) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(all) == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		next := []byte(all[0])
		all = all[1:]
		return next, nil
	}
}

func definition(name string) string {
	out := "\x03def\x00\x00\x00" + string(rune(len(name))) + name
	return out + "\x00\x0c\x3f\x00\x01\x00\x00\x00\x08\x80\x00\x00\x00\x00"
}

func TestResultsAreRead(t *testing.T) {
	end := "\xfe\x00\x00\x02\x00"
	r, err := readResult(packets("\x02", definition("Slave_IO_Running"), definition("Seconds_Behind_Master"), end, "\x03Yes\xfb", end))
	if err != nil || r.get("Replica_IO_Running", "Slave_IO_Running") != "Yes" || r.get("Seconds_Behind_Master") != "NULL" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := readResult(packets("\x01", definition("a"), "\x011", end, end)); !errors.Is(err, errPacket) {
		t.Errorf("a row before the end of the definitions: %v", err)
	}
	if _, err := readResult(packets("\x01", definition("a"), end, "\x021", end)); !errors.Is(err, errPacket) {
		t.Errorf("a row that is cut: %v", err)
	}
}

// TestScrambles compares with what the servers' own clients send: the proofs for the password "secret" and the nonce 0x01 … 0x14, worked out by
// the definition with openssl.
func TestScrambles(t *testing.T) {
	nonce := make([]byte, 20)
	for i := range nonce {
		nonce[i] = byte(i + 1)
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip(err)
	}
	sum := func(kind string, b []byte) []byte {
		cmd := exec.Command("openssl", "dgst", "-"+kind, "-binary")
		cmd.Stdin = bytes.NewReader(b)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	xor := func(a, b []byte) string {
		out := make([]byte, len(a))
		for i := range a {
			out[i] = a[i] ^ b[i]
		}
		return hex.EncodeToString(out)
	}
	one := sum("sha1", []byte("secret"))
	if want, got := xor(one, sum("sha1", append(append([]byte{}, nonce...), sum("sha1", one)...))), hex.EncodeToString(native("secret", nonce)); want != got {
		t.Errorf("native %s, want %s", got, want)
	}
	one = sum("sha256", []byte("secret"))
	if want, got := xor(one, sum("sha256", append(sum("sha256", one), nonce...))), hex.EncodeToString(caching("secret", nonce)); want != got {
		t.Errorf("caching %s, want %s", got, want)
	}
	if native("", nonce) != nil || caching("", nonce) != nil {
		t.Error("no password has a proof")
	}
}

func TestReplicasAreRead(t *testing.T) {
	row := func(io, sql, behind string) result {
		return result{names: []string{"Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source"}, values: [][]string{{io, sql, behind}}}
	}
	for _, c := range []struct {
		r      result
		lag    time.Duration
		broken bool
	}{{row("Yes", "Yes", "3"), 3 * time.Second, false}, {row("Yes", "Yes", "NULL"), -1, false}, {row("Connecting", "Yes", "NULL"), -1, true}, {result{}, -1, true}} {
		s := engine.Sight{Lag: -1}
		replicating(&s, c.r)
		if s.Lag != c.lag || s.Broken != "" != c.broken {
			t.Errorf("%+v: %+v", c.r, s)
		}
	}
	for version, want := range map[string]string{"8.0.36": "SHOW REPLICA STATUS", "8.0.21": "SHOW SLAVE STATUS", "8.4.2": "SHOW REPLICA STATUS", "5.7.44-log": "SHOW SLAVE STATUS", "10.11.6-MariaDB": "SHOW SLAVE STATUS", "9.1.0": "SHOW REPLICA STATUS"} {
		if got := statusQuery(version); got != want {
			t.Errorf("%s: %s", version, got)
		}
	}
	for value, want := range map[string]bool{"0": false, "OFF": false, "1": true, "ON": true, "NO_LOCK_NO_ADMIN": true} {
		if on(value) != want {
			t.Errorf("read_only %s counts as %v", value, !want)
		}
	}
}

const hello10 = "\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00caching_sha2_password\x00"

func TestGreetings(t *testing.T) {
	g, err := readGreeting([]byte(hello10))
	if err != nil || string(g.nonce) != "abcdefghijklmnopqrst" || g.plugin != "caching_sha2_password" || g.capabilities&wantsTLS == 0 {
		t.Errorf("%+v, %v", g, err)
	}
	for n := 1; n < 50; n++ {
		if _, err := readGreeting([]byte(hello10[:n])); err == nil {
			t.Errorf("a greeting that is cut after %d bytes is taken", n)
		}
	}
}

func FuzzPackets(f *testing.F) {
	f.Add([]byte(hello10))
	f.Add([]byte(definition("a")))
	f.Add([]byte("\x01a\xfb"))
	f.Add([]byte("\xff\x15\x04#28000Access denied"))
	f.Add([]byte("\xfe\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		_, _ = readGreeting(b)
		_, _ = column(b)
		_, _ = cells(b, 2)
		_ = refusal(b)
		half := b[:len(b)/2+1]
		_, _ = readResult(packets("\x01", string(half), "\xfe\x00", string(b), "\xfe\x00"))
		_, _ = sealWith(b, []byte("p\x00"), half)
	})
}
