package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/notifytest"
	"github.com/backstaydb/backstay/internal/notify/webhook"
	"github.com/google/go-cmp/cmp"
)

const key = "planted/secret+of=32-bytes-length"

// verify does what a receiver does, from the specification's words.
func verify(r *http.Request, body []byte) error {
	stamp, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(stamp, 0)).Abs() > time.Minute {
		return errors.New("the timestamp is missing or old")
	}
	signed := r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + string(body)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("webhook-signature") != want {
		return fmt.Errorf("the signature is %q, not %q", r.Header.Get("webhook-signature"), want)
	}
	if r.URL.Path != "/hook" || r.URL.RawQuery != "a=b" || r.Header.Get("Authorization") != "" {
		return fmt.Errorf("called %s with %v", r.URL, r.Header)
	}
	return nil
}

func open(t *testing.T, far *notifytest.Far, user string) *webhook.Sender {
	t.Helper()
	s, err := webhook.Open("webhook+" + strings.Replace(far.URL, "http://", "http://"+user, 1) + "/hook?a=b")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	for _, step := range notifytest.Steps() {
		t.Run(step.Name, func(t *testing.T) {
			far := notifytest.NewFar()
			defer far.Close()
			far.Check = verify
			encoded := strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(key)), "/", "%2F")
			w := notifytest.World{
				Sender: open(t, far, ":whsec_"+encoded+"@"), Set: far.Set, Taken: far.Taken,
				Secrets: []string{key, encoded, far.Listener.Addr().String()}, Knows: true,
			}
			if err := step.Run(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBodyIsTheMessage(t *testing.T) {
	far := notifytest.NewFar()
	defer far.Close()
	want := notifytest.Message("one")
	if err := open(t, far, "").Send(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	var got notify.Message
	if err := json.Unmarshal([]byte(far.Taken()[0]), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	thief := notifytest.NewFar()
	defer thief.Close()
	far := notifytest.NewFar()
	defer far.Close()
	far.Config.Handler = http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect)
	err := open(t, far, "").Send(t.Context(), notifytest.Message("one"))
	if err == nil || !notify.IsPermanent(err) || len(thief.Taken()) != 0 {
		t.Errorf("redirect: %v; the other host took %v", err, thief.Taken())
	}
}

func TestBadAddresses(t *testing.T) {
	for _, address := range []string{
		"", "https://planted@host/", "webhook+ftp://planted@host", "webhook+https://", "webhook+https://:planted@host/",
		"webhook+https://:whsec_planted!@host/", "webhook+https://host:planted/%zz",
	} {
		if _, err := webhook.Open(address); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
