// Package alertmanager posts notices to Prometheus's Alertmanager, API v2 (POST /api/v2/alerts, api/v2/openapi.yaml there).
//
// Alertmanager does its own grouping, silencing and repeating, and forgets an alert that it does not hear again. So it is
// told every minute of all that lasts, as Prometheus does, and each alert carries an end four minutes ahead: should this host die,
// the alert ends, and the dead man's ping tells why. An alert is the same as long as its labels are: alertname
// (Backstay and the objective), severity, source, class, objective, host and fingerprint. An event ends after an hour.
package alertmanager

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/post"
)

// Sender posts to one Alertmanager.
type Sender struct {
	address string
	header  http.Header
}

const (
	every      = time.Minute
	valid      = 4 * every // Prometheus's own choice: four missed repeats end an alert
	eventLasts = time.Hour
)

// Open returns a sender for "alertmanager+https://user:password@host:9093/prefix"; user, password and prefix may be missing.
func Open(address string) (*Sender, error) {
	address, user, err := post.Address("alertmanager", address)
	if err != nil {
		return nil, err
	}
	base, query, _ := strings.Cut(address, "?")
	s := &Sender{address: strings.TrimSuffix(base, "/") + "/api/v2/alerts", header: http.Header{}}
	if query != "" {
		s.address += "?" + query
	}
	s.header.Set("Content-Type", "application/json")
	if user != nil {
		password, _ := user.Password()
		req := http.Request{Header: s.header}
		req.SetBasicAuth(user.Username(), password)
	}
	return s, nil
}

// Every says that what lasts must be repeated each minute.
func (s *Sender) Every() time.Duration { return every }

// Send posts the changes of m. A test message is an alert of severity info that ends after a minute.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	alerts := alertsOf(m, time.Now())
	if len(alerts) == 0 {
		return nil
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		return &notify.Failure{Reason: "the message cannot be written as JSON", Permanent: true}
	}
	return post.Do(ctx, http.MethodPost, s.address, s.header, body)
}

// alert is a postableAlert of the API.
type alert struct {
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// alertsOf returns m as alerts at now.
func alertsOf(m notify.Message, now time.Time) []alert {
	if m.Kind == notify.Test {
		test := notify.Notice{Fingerprint: "test", Objective: "test", Host: m.Host, Reason: m.Text}
		return []alert{alertOf(test, test.Severity, now, now.Add(every))}
	}
	var out []alert
	for _, c := range m.Changes {
		switch c.Kind {
		case notify.Ended, notify.Passed:
			out = append(out, alertOf(c.Notice, c.Severity, c.Since, c.Ended))
			if c.Kind == notify.Ended && c.Was != c.Severity {
				out = append(out, alertOf(c.Notice, c.Was, c.Since, c.Ended))
			}
		case notify.Happened:
			out = append(out, alertOf(c.Notice, c.Severity, c.Since, c.Since.Add(eventLasts)))
		case notify.Rose:
			// The severity is a label: the milder alert is another one, and is over.
			out = append(out, alertOf(c.Notice, c.Was, c.Since, now), alertOf(c.Notice, c.Severity, c.Since, now.Add(valid)))
		case notify.Began, notify.Lasts:
			out = append(out, alertOf(c.Notice, c.Severity, c.Since, now.Add(valid)))
		}
	}
	return out
}

func alertOf(n notify.Notice, severity notify.Severity, starts, ends time.Time) alert {
	if ends.Before(starts) {
		ends = starts // The API refuses an alert that ends before it starts.
	}
	a := alert{
		StartsAt: starts, EndsAt: ends,
		Labels: map[string]string{
			"alertname": "Backstay" + title(n.Objective), "severity": severity.String(), "source": n.Source, "class": n.Class,
			"objective": n.Objective, "host": n.Host, "fingerprint": n.Fingerprint,
		},
		Annotations: map[string]string{"summary": n.Reason, "description": n.Do},
	}
	for _, m := range []map[string]string{a.Labels, a.Annotations} {
		for name, value := range m {
			if value == "" {
				delete(m, name)
			}
		}
	}
	return a
}

// title returns word with a capital.
func title(word string) string {
	r, size := utf8.DecodeRuneInString(word)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(r)) + word[size:]
}
