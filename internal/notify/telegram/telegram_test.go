package telegram_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/notifytest"
	"github.com/backstaydb/backstay/internal/notify/telegram"
)

// check refuses what the Bot API would.
func check(r *http.Request, body []byte) error {
	var m struct {
		Chat string `json:"chat_id"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	if r.URL.Path != "/bot123:PLANTED/sendMessage" || m.Chat == "" || m.Text == "" || len([]rune(m.Text)) > 4096 {
		return errors.New("bad request")
	}
	return nil
}

func open(t *testing.T, far *notifytest.Far, chats string) *telegram.Sender {
	t.Helper()
	s, err := telegram.Open("telegram://123:PLANTED@" + far.Listener.Addr().String() + "?tls=off&chats=" + chats)
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
			far.Answer, far.Check = `{"ok":true,"result":{}}`, check
			w := notifytest.World{Sender: open(t, far, "42"), Set: far.Set, Taken: far.Taken, Secrets: []string{"PLANTED", "123"}}
			if err := step.Run(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSecondChatFails(t *testing.T) {
	far := notifytest.NewFar()
	defer far.Close()
	far.Answer = `{"ok":true}`
	refuse := true
	far.Check = func(_ *http.Request, body []byte) error {
		if refuse && strings.Contains(string(body), `"@b"`) {
			return errors.New("chat not found")
		}
		return nil
	}
	s := open(t, far, "@a,@b")
	if err := s.Send(t.Context(), notifytest.Message("one")); !notify.IsPermanent(err) {
		t.Fatalf("got %v", err)
	}
	refuse = false
	if err := s.Send(t.Context(), notifytest.Message("one")); err != nil || len(far.Taken()) != 2 {
		t.Fatalf("%v; taken %v", err, far.Taken())
	}
}

func TestSomethingElseAnswers(t *testing.T) {
	far := notifytest.NewFar()
	defer far.Close()
	for _, answer := range []string{"<html>log in to the hotel</html>", "", `{"ok":false}`} {
		far.Answer = answer
		if err := open(t, far, "42").Send(t.Context(), notifytest.Message("one")); err == nil {
			t.Errorf("answer %q is a success", answer)
		}
	}
}

func TestBadAddresses(t *testing.T) {
	for _, address := range []string{"", "telegram://PLANTED@telegram?chats=1", "telegram://1:PLANTED@telegram", "slack://PLANTED", "telegram://1:PLANTED@%zz"} {
		if _, err := telegram.Open(address); err == nil || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
