package mail_test

import (
	"io"
	"mime"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/mail"
	"github.com/backstaydb/backstay/internal/notify/notifytest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ends = "/?from=Backstay%20%3Cbackstay@example.org%3E&to=ops@example.org,%C3%84nne%20%3Caenne@example.org%3E"

func open(t *testing.T, s *sink, user, more string) *mail.Sender {
	t.Helper()
	out, err := mail.Open("smtp://" + user + s.Addr().String() + ends + more)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// decoded is a mail as its reader sees it.
func decoded(t *testing.T, raw string) (header netmail.Header, body string) {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, strings.ReplaceAll(string(data), "\r\n", "\n")
}

func TestSuite(t *testing.T) {
	for _, step := range notifytest.Steps() {
		t.Run(step.Name, func(t *testing.T) {
			s := newSink(t, "anna:PLANTED", nil)
			w := notifytest.World{
				Sender: open(t, s, "anna:PLANTED@", "&tls=off"), Set: s.Set, Taken: s.Taken, Secrets: []string{"PLANTED", "anna"}, Knows: true,
			}
			if err := step.Run(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLetter(t *testing.T) {
	s := newSink(t, "", nil)
	sender := open(t, s, "", "&tls=off")
	m := notifytest.Message("one")
	m.Subject = "[backstay db1] critical: Zähler\r\nBcc: thief@example.org " + strings.Repeat("größe ", 30)
	m.Body = "Zähler\n.\n..two\nFrom here\n" + strings.Repeat("x", 3000) + "\n"
	again := notifytest.Message("two")
	for _, m := range []notify.Message{m, again} {
		if err := sender.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	header, body := decoded(t, s.Taken()[0])
	subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if err != nil || subject != strings.Join(strings.Fields(m.Subject), " ") {
		t.Errorf("subject %q, %v", subject, err)
	}
	if header.Get("Bcc") != "" || body != m.Body {
		t.Errorf("header %v, body %q", header, body)
	}
	if to, err := header.AddressList("To"); err != nil || len(to) != 2 || to[1].Name != "Änne" {
		t.Errorf("to %v, %v", to, err)
	}
	if _, err := header.Date(); err != nil || header.Get("Message-ID") != "<one@example.org>" {
		t.Errorf("header %v, %v", header, err)
	}
	other, _ := decoded(t, s.Taken()[1])
	if thread := header.Get("References"); thread == "" || thread != other.Get("References") {
		t.Errorf("two mails about one matter are in threads %q and %q", thread, other.Get("References"))
	}
	for i, line := range strings.Split(s.Taken()[0], "\n") {
		if len(line) > 998 {
			t.Errorf("line %d has %d bytes", i, len(line))
		}
	}
}

// Without TLS nothing is sent, and a certificate that nobody signed is no TLS.
func TestTLSIsNotOptional(t *testing.T) {
	s := newSink(t, "", nil)
	err := open(t, s, "anna:PLANTED@", "").Send(t.Context(), notifytest.Message("one"))
	if err == nil || err.Error() != "the server offers no TLS" || !notify.IsPermanent(err) {
		t.Errorf("no STARTTLS: %v", err)
	}
	s = newSink(t, "", certificate(t))
	err = open(t, s, "anna:PLANTED@", "").Send(t.Context(), notifytest.Message("one"))
	if err == nil || !strings.Contains(err.Error(), "certificate") || len(s.Taken()) != 0 {
		t.Errorf("a stranger's certificate: %v, taken %v", err, s.Taken())
	}
}

func TestOneRecipientIsRefused(t *testing.T) {
	s := newSink(t, "", nil)
	sender, err := mail.Open("smtp://" + s.Addr().String() + "/?tls=off&from=a@example.org&to=ops@example.org,nobody@example.org")
	if err != nil {
		t.Fatal(err)
	}
	err = sender.Send(t.Context(), notifytest.Message("one"))
	if !notify.IsPermanent(err) || len(s.Taken()) != 0 {
		t.Errorf("%v, taken %v", err, s.Taken())
	}
}

func TestAddresses(t *testing.T) {
	for _, good := range []string{
		"smtp://u%40example.org:p@mail.example.org?to=a@example.org", "smtps://mail.example.org/?from=b@example.org&to=a@example.org",
		"smtp://mail.example.org:465/?fromAddress=b@example.org&toAddresses=a@example.org", "smtp://localhost:25/?tls=off&from=b@example.org&to=a@example.org",
	} {
		if _, err := mail.Open(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "http://PLANTED@host", "smtp://u:PLANTED@/?to=a@example.org", "smtp://u:PLANTED@host/", "smtp://u:PLANTED@host/?to=a@example.org",
		"smtp://u:PLANTED@host:x/?to=a@b", "smtp://u:PLANTED@host/?to=a@b&from=PLANTED", "smtp://u:PLANTED@host/?from=a@b&to=PLANTED",
		"smtp://u:PLANTED@host/?from=a@b&to=a@b&tls=off", "smtp://u:PLANTED@host/?from=a@b&to=a@b&tls=maybe", "smtp://u:PLANTED@host/?from=a@b&to=a@b&x=PLANTED",
	} {
		if _, err := mail.Open(bad); err == nil || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
