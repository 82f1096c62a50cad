package drill

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/ledger"
)

func TestPageSaysWhatTheReportSays(t *testing.T) {
	w := newWorld()
	c := w.config(t)
	c.Source = `shop</pre><script>alert(1)</script>`
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	verifier := c.Signer.(*ledger.Signer).Verifier()
	page, err := Page(r.Signed, verifier)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"proved", "1/30", "b20", "<td>its owner</td>", "digest", r.Reached.Digest} {
		if strings.Contains(string(page), want) == (want == "<td>its owner</td>") {
			t.Errorf("%q in the page: %t", want, want == "<td>its owner</td>")
		}
	}
	if bytes.Contains(page, []byte("<script")) || bytes.Contains(page, []byte("ZgotmplZ")) || !IsPage(page) || IsPage(r.Signed) {
		t.Error("the page holds what is no text")
	}
	for _, link := range []string{`src="`, `href="http`, "@import", "url("} {
		if bytes.Contains(page, []byte(link)) {
			t.Errorf("the page needs something else: %s", link)
		}
	}
	read, signer, err := VerifyPage(page, []string{verifier})
	if err != nil || signer != "host1" || read.String() != r.String() {
		t.Fatalf("%s of %s, %v", read, signer, err)
	}

	altered := bytes.Replace(page, []byte("<strong>proved</strong>"), []byte("<strong>perfect</strong>"), 1)
	var wrong *PageError
	if read, _, err = VerifyPage(altered, []string{verifier}); !errors.As(err, &wrong) || read.Verdict != Proved {
		t.Errorf("an altered page: %s, %v", read, err)
	}
	other, err := ledger.NewSigner("host1")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifyPage(page, []string{other.Verifier()}); err == nil || errors.As(err, &wrong) {
		t.Errorf("a page that another key signed: %v", err)
	}
	for _, broken := range [][]byte{nil, []byte("<!doctype html>"), bytes.Replace(page, []byte(noteLink), []byte(noteLink+"!"), 1)} {
		if _, _, err := VerifyPage(broken, []string{verifier}); err == nil {
			t.Errorf("accepted %.60q", broken)
		}
	}
	if _, err := Page(r.Signed, other.Verifier()); err == nil {
		t.Error("a page is made of a report that the key did not sign")
	}
}

// FuzzVerifyPage: whatever a page is, what is believed of it was signed.
func FuzzVerifyPage(f *testing.F) {
	signer, err := ledger.NewSigner("h")
	if err != nil {
		f.Fatal(err)
	}
	good := &Report{Source: "shop", Verdict: Proved}
	if err := good.sign(signer); err != nil {
		f.Fatal(err)
	}
	page, err := Page(good.Signed, signer.Verifier())
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{page, page[:len(page)/2], nil, []byte(noteLink + `"`)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, _, err := VerifyPage(b, []string{signer.Verifier()}); err == nil && r.Source != "shop" {
			t.Errorf("accepted %q", b)
		}
	})
}
