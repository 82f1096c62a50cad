package shout

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/notifytest"
)

// local are services that can be pointed at a server on loopback, and what it answers when it takes a message.
var local = map[string]struct{ address, answer string }{
	"ntfy":       {"ntfy://anna:PLANTED@%s/topic?disabletls=yes", `{"id":"x"}`},
	"gotify":     {"gotify://%s/APLANTEDPLANTED?disabletls=yes", `{"id":1}`},
	"mattermost": {"mattermost://%s/PLANTED/chan?disabletls=yes", "ok"},
	"signal":     {"signal://anna:PLANTED@%s/+15551234567/+15557654321?disabletls=yes", `{"timestamp":"1"}`},
}

func TestSuite(t *testing.T) {
	for kind, c := range local {
		for _, step := range notifytest.Steps() {
			t.Run(kind+"/"+step.Name, func(t *testing.T) {
				far := notifytest.NewFar()
				defer far.Close()
				far.Answer = c.answer
				s, err := Open(fmt.Sprintf(c.address, far.Listener.Addr()))
				if err != nil {
					t.Fatal(err)
				}
				w := notifytest.World{Sender: s, Set: far.Set, Taken: far.Taken, Secrets: []string{"PLANTED", "anna"}}
				if err := step.Run(t.Context(), w); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// remote are services whose host is fixed, or that speak HTTPS only. No request leaves the test.
var remote = map[string]string{
	"discord":    "discord://PLANTEDtoken@123456789",
	"googlechat": "googlechat://chat.googleapis.com/v1/spaces/FOO/messages?key=PLANTEDkey&token=PLANTEDtok",
	"lark":       "lark://open.larksuite.com/PLANTEDtoken",
	"matrix":     "matrix://anna:PLANTEDpassword@matrix.example.org/?rooms=!room:example.org",
	"opsgenie":   "opsgenie://api.opsgenie.com/PLANTEDkey",
	"pagerduty":  "pagerduty://events.pagerduty.com/facade00facade00facade00facade00",
	"pushover":   "pushover://shoutrrr:PLANTEDapi@PLANTEDuser/",
	"rocketchat": "rocketchat://rc.example.org/PLANTEDa/PLANTEDb/chan",
	"slack":      "slack://hook:T0PLANTED-B0PLANTED0-PLANTEDPLANTEDPLANTED123@webhook",
	"teams":      "teams://11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/33333333012222222222333333333344/44444444-4444-4444-8444-cccccccccccc/V2ESPLANTEDPLANTEDUQHvZoZYzlpAoAXExyOl26dlf1xHEx05?host=test.webhook.office.com",
	"zulip":      "zulip://bot%40example.org:PLANTEDkey@zulip.example.org?stream=foo&topic=bar",
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Every service says when a message was not taken, in whatever way; none tells the address.
func TestNoServiceSwallowsAFailure(t *testing.T) {
	for kind := range services {
		if _, here := local[kind]; !here && remote[kind] == "" {
			t.Errorf("%s is tested nowhere", kind)
		}
	}
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	for kind, address := range remote {
		for _, status := range []int{0, 401, 404, 502} {
			if kind == "discord" && status == 502 {
				continue // It tries for half a minute by itself.
			}
			t.Run(fmt.Sprint(kind, status), func(t *testing.T) {
				calls := 0
				http.DefaultTransport = transport(func(r *http.Request) (*http.Response, error) {
					calls++
					if status == 0 {
						return nil, fmt.Errorf("no route to %s", r.URL)
					}
					return &http.Response{
						StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Request: r, Header: http.Header{},
						Body: io.NopCloser(strings.NewReader(r.URL.String())),
					}, nil
				})
				s, err := Open(address)
				if err != nil {
					t.Fatal(err)
				}
				err = s.Send(t.Context(), notifytest.Message("one"))
				var f *notify.Failure
				if !errors.As(err, &f) || calls == 0 {
					t.Fatalf("after %d calls: %v", calls, err)
				}
				if f.Permanent && (status == 0 || status == 502) {
					t.Errorf("%v is no lasting failure", err)
				}
				for _, secret := range []string{"PLANTED", "facade00", "anna", "example.org"} {
					if strings.Contains(fmt.Sprintf("%#v", f), secret) {
						t.Errorf("%#v holds %s", f, secret)
					}
				}
			})
		}
	}
}

// What a service takes is checked where its host is fixed: the request is looked at and answered in its name.
func TestServicesSendTheWords(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	answers := map[string]string{"slack": "ok", "lark": `{"code":0}`, "matrix": `{"flows":[{"type":"m.login.password"}],"room_id":"!room","joined_rooms":["!room:example.org"],"access_token":"PLANTED","event_id":"x"}`}
	for kind, address := range remote {
		var sent []string
		http.DefaultTransport = transport(func(r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				data, _ := io.ReadAll(r.Body)
				sent = append(sent, string(data))
			}
			status := 200
			if kind == "pagerduty" || kind == "opsgenie" {
				status = 202
			}
			answer := "{}"
			if answers[kind] != "" {
				answer = answers[kind]
			}
			return &http.Response{StatusCode: status, Status: "200 OK", Request: r, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
		})
		s, err := Open(address)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Send(t.Context(), notifytest.Message("one"))
		got := strings.ReplaceAll(strings.Join(sent, "\n"), "+", " ")
		if err != nil || !strings.Contains(got, "12s of commits are not durable") {
			t.Errorf("%s: %v; sent %s", kind, err, got)
		}
	}
}

func TestIncidentsOpenAndClose(t *testing.T) {
	m := notifytest.Message("one")
	ended := m.Changes[0]
	ended.Kind = notify.Ended
	m.Changes = append(m.Changes, ended)
	parts := incidents(m)
	if len(parts) != 2 || parts[0].params["action"] != "trigger" || parts[1].params["action"] != "resolve" || parts[0].params["dedup_key"] != parts[1].params["dedup_key"] {
		t.Errorf("parts %v", parts)
	}
	if got := incidents(notify.Message{Kind: notify.Summary}); len(got) != 0 {
		t.Errorf("a summary with nothing open pages somebody: %v", got)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, address := range []string{"", "PLANTED", "telegram://1:PLANTED@telegram?chats=1", "slack://PLANTED", "%zz://PLANTED", "generic://PLANTED", "smtp://PLANTED", "pagerduty:///PLANTED"} {
		if _, err := Open(address); err == nil || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
