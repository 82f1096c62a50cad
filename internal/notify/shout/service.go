package shout

import (
	"strings"
	"unicode"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/discord"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/googlechat"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/lark"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/matrix"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/mattermost"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/rocketchat"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/signal"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/slack"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/teams"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/zulip"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/opsgenie"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/pagerduty"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/gotify"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/pushover"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/backstaydb/backstay/internal/notify"
)

// service is one kind of receiver.
type service struct {
	open  func() types.Service
	parts func(notify.Message) []part
	dials bool // it logs in when it is initialised, so its address cannot be checked without a network
}

// services are all that passed the suite, by the scheme of their addresses.
var services = map[string]service{
	"discord":    {open: func() types.Service { return &discord.Service{} }, parts: titled},
	"googlechat": {open: func() types.Service { return &googlechat.Service{} }, parts: headed},
	"gotify":     {open: func() types.Service { return &gotify.Service{} }, parts: titled},
	"lark":       {open: func() types.Service { return &lark.Service{} }, parts: titled},
	"matrix":     {open: func() types.Service { return &matrix.Service{} }, parts: titled, dials: true},
	"mattermost": {open: func() types.Service { return &mattermost.Service{} }, parts: headed},
	"ntfy":       {open: func() types.Service { return &ntfy.Service{} }, parts: ranked(map[notify.Severity]string{notify.Critical: "max", notify.Warning: "high", notify.Info: "default"})},
	"opsgenie":   {open: func() types.Service { return &opsgenie.Service{} }, parts: ranked(map[notify.Severity]string{notify.Critical: "P1", notify.Warning: "P3", notify.Info: "P5"})},
	"pagerduty":  {open: func() types.Service { return &pagerduty.Service{} }, parts: incidents},
	"pushover":   {open: func() types.Service { return &pushover.Service{} }, parts: ranked(map[notify.Severity]string{notify.Critical: "1", notify.Warning: "0", notify.Info: "-1"})},
	"rocketchat": {open: func() types.Service { return &rocketchat.Service{} }, parts: headed},
	"signal":     {open: func() types.Service { return &signal.Service{} }, parts: headed},
	"slack":      {open: func() types.Service { return &slack.Service{} }, parts: titled},
	"teams":      {open: func() types.Service { return &teams.Service{} }, parts: titled},
	"zulip":      {open: func() types.Service { return &zulip.Service{} }, parts: titled},
}

// titled is a message whose subject the service shows by itself.
func titled(m notify.Message) []part {
	return []part{{m.Text, types.Params{"title": cut(m.Subject, 60)}}}
}

// headed is a message for services that know no title.
func headed(m notify.Message) []part { return []part{{m.Subject + "\n" + m.Text, types.Params{}}} }

// ranked is titled, with the service's own word for how urgent it is.
func ranked(priority map[notify.Severity]string) func(notify.Message) []part {
	return func(m notify.Message) []part {
		return []part{{m.Text, types.Params{"title": cut(m.Subject, 120), "priority": priority[m.Severity]}}}
	}
}

// incidents opens and closes one incident for each matter: PagerDuty knows them by a key, so that doubles do no harm.
// A summary with nothing open is none.
func incidents(m notify.Message) []part {
	var out []part
	for _, c := range m.Changes {
		action := "trigger"
		if c.Kind == notify.Ended || c.Kind == notify.Passed {
			action = "resolve"
		}
		out = append(out, part{cut(c.Reason+" "+c.Do, 1000), types.Params{
			"action": action, "severity": c.Severity.String(), "source": c.Host, "dedup_key": cut(c.Host+"/"+c.Fingerprint, 250),
		}})
	}
	if m.Kind == notify.Test {
		out = append(out, part{m.Subject, types.Params{"severity": m.Severity.String(), "source": m.Host, "dedup_key": m.ID}})
	}
	return out
}

// cut returns text in one line of at most limit characters: titles become HTTP headers.
func cut(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}
