package authority

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/lease/mem"
	"github.com/backstaydb/backstay/internal/peer"
)

// house is a host that signs, and answers at url.
type house struct {
	authority *Authority
	identity  *Identity
	book      lease.Store
	url       string
	now       time.Time // of the host that signs
}

func open(t *testing.T) *house {
	t.Helper()
	h := &house{book: mem.New(), now: time.Now()}
	var err error
	if h.authority, err = New("shop", h.now); err != nil {
		t.Fatal(err)
	}
	if h.identity, err = FirstIdentity(t.TempDir(), h.authority, Names{"ha1", []string{"127.0.0.1"}}, h.now); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.url = "https://" + l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	desk := &Desk{Authority: h.authority, Identity: h.identity, Book: h.book, Now: func() time.Time { return h.now }, Known: func(host string) bool { return host != "gone" }}
	go func() { done <- desk.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) token(t *testing.T, host string) Token {
	t.Helper()
	token, err := h.authority.NewToken(t.Context(), h.book, Names{host, []string{"127.0.0.1", "db.example"}}, h.url, h.now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseToken(token.Text() + "\n")
	if err != nil || parsed != token {
		t.Fatalf("parsed %#v, %v", parsed, err)
	}
	return parsed
}

// meet reports whether two hosts believe each other, as package peer makes them.
func meet(a, b *Identity, name string) error {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	conf, err := (peer.Identity{Certificate: a.Certificate, Authorities: a.Authorities}).Client(name)
	if err != nil {
		return err
	}
	server := tls.Server(theirs, (peer.Identity{Certificate: b.Certificate, Authorities: b.Authorities}).Server())
	ended := make(chan error, 1)
	go func() {
		err := server.Handshake()
		if err == nil {
			state := server.ConnectionState()
			var host string
			if host, err = peer.HostOf(&state); err == nil && host != "ha3" {
				err = fmt.Errorf("it came as %s", host)
			}
		}
		theirs.Close()
		ended <- err
	}()
	client := tls.Client(ours, conf)
	err = client.Handshake()
	if err == nil {
		_, _ = client.Read(make([]byte, 1)) // takes what is left of the handshake
	} else {
		ours.Close()
	}
	return errors.Join(err, <-ended)
}

func TestAHostJoins(t *testing.T) {
	h, dir := open(t), t.TempDir()
	joined, err := Join(t.Context(), dir, h.token(t, "ha3"), "ha3")
	if err != nil {
		t.Fatal(err)
	}
	if err := meet(joined, h.identity, "ha1"); err != nil {
		t.Error(err)
	}
	n, err := joined.Names()
	if err != nil || fmt.Sprint(n) != "{ha3 [db.example 127.0.0.1]}" {
		t.Errorf("names %v, %v", n, err)
	}
	again, err := OpenIdentity(dir)
	if err != nil || !again.Ends().Equal(joined.Ends()) {
		t.Errorf("opened again: %v", err)
	}
	names, _ := os.ReadDir(dir)
	for _, f := range names {
		info, err := f.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if len(names) != 3 {
		t.Errorf("files %v", names)
	}
}

func TestTokensAreRefused(t *testing.T) {
	h := open(t)
	used := h.token(t, "ha3")
	if _, err := Join(t.Context(), t.TempDir(), used, "ha3"); err != nil {
		t.Fatal(err)
	}
	ended := h.token(t, "ha4")
	forged := h.token(t, "ha5")
	forged.Secret = "AAAA"
	renamed := h.token(t, "ha6")
	renamed.Host = "ha7" // whoever has the token of one host writes another's name on it
	stranger := h.token(t, "ha8")
	stranger.Fingerprint = strings.Repeat("ab", 32)
	for _, c := range []struct {
		name  string
		token Token
		host  string
		later time.Duration
		want  string
	}{
		{"used twice", used, "ha3", 0, ErrUsed.Error()},
		{"ended", ended, "ha4", 2 * time.Hour, ErrEnded.Error()},
		{"never given out", forged, "ha5", 0, ErrUnknownToken.Error()},
		{"on another host", h.token(t, "ha9"), "ha10", 0, ErrOtherHost.Error()},
		{"with another host's name", renamed, "ha7", 0, ErrOtherHost.Error()},
		{"of another authority", stranger, "ha8", 0, "not of the cluster that the token is for"},
	} {
		h.now = h.now.Add(c.later)
		dir := t.TempDir()
		if _, err := Join(t.Context(), dir, c.token, c.host); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		} else if strings.Contains(err.Error(), c.token.Secret) {
			t.Errorf("%s: the error has the secret in it", c.name)
		}
		if _, err := OpenIdentity(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: an identity is there: %v", c.name, err)
		}
		h.now = h.now.Add(-c.later)
	}
}

// TestALostAnswerIsAskedForAgain: the token was marked as used, and the host never heard.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	h, dir := open(t), t.TempDir()
	token := h.token(t, "ha3")
	_, request, err := ask(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyDigest(request)
	if err != nil {
		t.Fatal(err)
	}
	proof := prove(derive(token.Secret, "proof"), "ha3", request)
	if _, err := redeem(t.Context(), h.book, joining{idOf(token.Secret), proof, "ha3", request}, key, h.now); err != nil {
		t.Fatal(err)
	}
	// Whoever saw that can't have a key of its own certified with it.
	_, other, err := ask(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []joining{{idOf(token.Secret), proof, "ha3", other}, {idOf(token.Secret), proof, "ha4", request}, {idOf(token.Secret), nil, "ha3", request}, {"", nil, "ha3", request}} {
		if _, err := redeem(t.Context(), h.book, q, key, h.now); !errors.Is(err, ErrUnknownToken) {
			t.Errorf("with another's proof: %v", err)
		}
	}
	if _, err := Join(t.Context(), dir, token, "ha3"); err != nil {
		t.Error(err)
	}
}

func TestForeignersAreNotBelieved(t *testing.T) {
	h, other := open(t), open(t)
	ours, err := Join(t.Context(), t.TempDir(), h.token(t, "ha3"), "ha3")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := Join(t.Context(), t.TempDir(), other.token(t, "ha3"), "ha3")
	if err != nil {
		t.Fatal(err)
	}
	if err := meet(theirs, h.identity, "ha1"); err == nil {
		t.Error("a host of another authority was believed")
	}
	if err := meet(ours, h.identity, "ha2"); err == nil {
		t.Error("ha1 was taken for ha2")
	}
	theirs.pool, _ = h.identity.Authorities() // it believes us; we must not believe it
	if err := meet(theirs, h.identity, "ha1"); err == nil {
		t.Error("a client of another authority was believed")
	}
	if err := theirs.Renew(t.Context(), h.url, "ha1"); err == nil {
		t.Error("another authority's certificate was renewed")
	}
}

func TestRenewalKeepsTheNames(t *testing.T) {
	h, dir := open(t), t.TempDir()
	i, err := Join(t.Context(), dir, h.token(t, "ha3"), "ha3")
	if err != nil {
		t.Fatal(err)
	}
	if i.Due(h.now.Add(hostLife/2-2*skew)) || !i.Due(h.now.Add(hostLife/2+2*skew)) {
		t.Error("it is not due at half of its time")
	}
	before, key := i.Ends(), i.pair.PrivateKey
	h.now = h.now.Add(10 * time.Minute)
	if err := i.Renew(t.Context(), h.url, "ha1"); err != nil {
		t.Fatal(err)
	}
	if n, err := i.Names(); err != nil || fmt.Sprint(n) != "{ha3 [db.example 127.0.0.1]}" || !i.Ends().After(before) {
		t.Errorf("names %v until %v, %v", n, i.Ends(), err)
	}
	if i.pair.PrivateKey == key {
		t.Error("the key is the same")
	}
	if err := i.Renew(t.Context(), h.url, "ha2"); err == nil {
		t.Error("ha1 renewed as ha2")
	}
	gone, err := Join(t.Context(), t.TempDir(), h.token(t, "gone"), "gone")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Renew(t.Context(), h.url, "ha1"); err == nil || !strings.Contains(err.Error(), "not in the file") {
		t.Errorf("a host that was taken out was renewed: %v", err)
	}
	end := h.identity.Ends()
	h.now = h.now.Add(10 * time.Minute)
	if err := h.identity.RenewBy(h.authority, h.now); err != nil || !h.identity.Ends().After(end) {
		t.Errorf("on the host that signs: %v", err)
	}
}

func TestAnExpiredCertificateIsRefused(t *testing.T) {
	h, dir := open(t), t.TempDir()
	old, err := FirstIdentity(dir, h.authority, Names{Host: "ha3"}, h.now.Add(-hostLife-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := meet(old, h.identity, "ha1"); err == nil {
		t.Error("an expired certificate was believed")
	}
	if err := old.Renew(t.Context(), h.url, "ha1"); err == nil {
		t.Error("an expired certificate was renewed")
	}
}

// TestACrashWhileInstalling: whatever file was written last, the host has an identity afterwards.
func TestACrashWhileInstalling(t *testing.T) {
	h, dir := open(t), t.TempDir()
	i, err := Join(t.Context(), dir, h.token(t, "ha3"), "ha3")
	if err != nil {
		t.Fatal(err)
	}
	_, request, err := ask(dir)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := i.Names()
	cert, err := h.authority.Issue(request, n, h.now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, hostCertFile), cert, 0o600); err != nil { // and no more
		t.Fatal(err)
	}
	again, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := meet(again, h.identity, "ha1"); err != nil {
		t.Error(err)
	}
	if !again.Ends().After(i.Ends()) {
		t.Error("it is the old one")
	}
}

func TestAnAuthorityIsNeverReplaced(t *testing.T) {
	a, err := New("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "authority")
	if _, err := Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	if err := a.Save(dir); err != nil {
		t.Fatal(err)
	}
	b, err := New("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Save(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("saved over it: %v", err)
	}
	c, err := Load(dir)
	if err != nil || c.Fingerprint() != a.Fingerprint() {
		t.Errorf("loaded another one, %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, certFile), b.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a key that is not the certificate's was taken")
	}
}

func TestTokensHideTheirSecret(t *testing.T) {
	token := Token{Host: "ha3", Secret: "hush"}
	if text := fmt.Sprintf("%v %+v %#v %s", token, token, token, token); strings.Contains(text, "hush") {
		t.Error(text)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(Token{"ha3", "https://10.0.0.1:7433", strings.Repeat("ab", 32), "c2VjcmV0"}.Text())
	f.Add("bsj1.e30")
	f.Add("bsj1.")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		if again, err := ParseToken(token.Text()); err != nil || again != token {
			t.Errorf("%q became %q, %v", token.Text(), again.Text(), err)
		}
	})
}
