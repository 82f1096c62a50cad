// Package telegram sends notices by a Telegram bot (core.telegram.org/bots/api#sendmessage). It is our own because the
// service in the library of package shout answers nil to every failure: a wrong token would be silence for ever.
package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/post"
)

// Sender sends to the chats of one bot.
type Sender struct {
	address string // with the token in it
	chats   []string
	taken   map[string]string // by chat: the message that it took last, so that a second chat's failure does not tell the first twice
}

// publicHost is what an address names for Telegram's own server.
const publicHost = "telegram"

// Open returns a sender for "telegram://123456:token@telegram?chats=-100123,@channel". Another host is a Bot API server of
// one's own; it speaks HTTPS unless tls=off is added.
func Open(address string) (*Sender, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Scheme != "telegram" {
		return nil, errors.New("parse telegram address: it does not begin with telegram://")
	}
	key, ok := u.User.Password()
	if !ok || u.User.Username() == "" || key == "" {
		return nil, errors.New("parse telegram address: it has no token of the form number:letters")
	}
	s := &Sender{taken: map[string]string{}}
	for chat := range strings.SplitSeq(u.Query().Get("chats"), ",") {
		if chat = strings.TrimSpace(chat); chat != "" {
			s.chats = append(s.chats, chat)
		}
	}
	if len(s.chats) == 0 {
		return nil, errors.New("parse telegram address: chats is missing")
	}
	base := url.URL{Scheme: "https", Host: u.Host}
	if u.Host == publicHost {
		base.Host = "api.telegram.org"
	}
	if u.Query().Get("tls") == "off" {
		base.Scheme = "http"
	}
	s.address = base.String() + "/bot" + url.PathEscape(u.User.Username()+":"+key) + "/sendMessage"
	return s, nil
}

// Send sends m to each chat that has not taken it yet.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	for _, chat := range s.chats {
		if s.taken[chat] == m.ID {
			continue
		}
		if err := s.tell(ctx, chat, m); err != nil {
			return err
		}
		s.taken[chat] = m.ID
	}
	return nil
}

func (s *Sender) tell(ctx context.Context, chat string, m notify.Message) error {
	body, err := json.Marshal(map[string]any{
		"chat_id": chat, "text": m.Text, "disable_notification": m.Severity == notify.Info,
		"link_preview_options": map[string]bool{"is_disabled": true},
	})
	if err != nil {
		return &notify.Failure{Reason: "the message cannot be written as JSON", Permanent: true}
	}
	data, err := post.Ask(ctx, http.MethodPost, s.address, http.Header{"Content-Type": {"application/json"}}, body)
	var answer struct {
		OK         bool `json:"ok"`
		Parameters struct {
			RetryAfter int `json:"retry_after"`
		} `json:"parameters"`
	}
	bad := json.Unmarshal(data, &answer)
	var f *notify.Failure
	if errors.As(err, &f) {
		if wait := answer.Parameters.RetryAfter; wait > 0 && wait < 1<<20 {
			f.Wait = time.Duration(wait) * time.Second
		}
		return f
	}
	if bad != nil || !answer.OK {
		return &notify.Failure{Reason: "what answered is not Telegram"}
	}
	return nil
}
