package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
)

// letter returns m as RFC 5322 wants it, with CRLF at the end of each line. Its Message-ID is made from m.ID, so that
// servers and readers can drop a mail that comes twice; mails about one matter refer to a common ID, and stand in one
// thread.
func letter(a *account, m notify.Message) ([]byte, error) {
	_, domain, _ := strings.Cut(a.from.Address, "@")
	var to []string
	for _, t := range a.to {
		to = append(to, t.String())
	}
	var b bytes.Buffer
	head := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	head("From", a.from.String())
	head("To", strings.Join(to, ",\r\n "))
	head("Subject", subject(m.Subject))
	head("Date", m.At.Format(time.RFC1123Z))
	head("Message-ID", fmt.Sprintf("<%s@%s>", m.ID, domain))
	if thread := threadOf(m); thread != "" {
		head("References", fmt.Sprintf("<%s@%s>", thread, domain))
	}
	head("Auto-Submitted", "auto-generated")
	head("X-Backstay-Severity", m.Severity.String())
	if m.Severity == notify.Critical {
		head("X-Priority", "1")
	}
	head("MIME-Version", "1.0")
	head("Content-Type", "text/plain; charset=utf-8")
	head("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(m.Body)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// subject returns text as one header value, in encoded words if need be, folded where they end.
func subject(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", text), "?= =?", "?=\r\n =?")
}

// threadOf names the matter of a message that has one only.
func threadOf(m notify.Message) string {
	if m.Kind != notify.Changes || len(m.Changes) != 1 {
		return ""
	}
	sum := sha256.Sum256([]byte(m.Host + "\x00" + m.Changes[0].Fingerprint))
	return "matter-" + hex.EncodeToString(sum[:12])
}
