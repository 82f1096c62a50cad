package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/alertmanager"
	"github.com/backstaydb/backstay/internal/notify/mail"
	"github.com/backstaydb/backstay/internal/notify/ping"
	"github.com/backstaydb/backstay/internal/notify/shout"
	"github.com/backstaydb/backstay/internal/notify/telegram"
	"github.com/backstaydb/backstay/internal/notify/webhook"
	"github.com/backstaydb/backstay/internal/secret"
)

// senders is the table of ways to tell people, by the first word of an address; what is not in it is a chat or pager service.
var senders = map[string]func(address string) (notify.Sender, error){
	"webhook":      func(a string) (notify.Sender, error) { return webhook.Open(a) },
	"alertmanager": func(a string) (notify.Sender, error) { return alertmanager.Open(a) },
	"smtp":         func(a string) (notify.Sender, error) { return mail.Open(a) },
	"smtps":        func(a string) (notify.Sender, error) { return mail.Open(a) },
	"telegram":     func(a string) (notify.Sender, error) { return telegram.Open(a) },
}

// openSender opens a sender. Its errors hold nothing of the address but its first word.
func openSender(address string) (notify.Sender, error) {
	kind, _, ok := strings.Cut(address, ":")
	kind, _, _ = strings.Cut(kind, "+")
	if !ok {
		return nil, fmt.Errorf("it is no address: addresses begin with smtp://, webhook+https://, alertmanager+http://, telegram:// or one of %s", strings.Join(shout.Kinds(), ", "))
	}
	if open := senders[kind]; open != nil {
		return open(address)
	}
	return shout.Open(address)
}

// receivers opens the ways to those who are told. Pings are a dead man's switch: they stay away when this host is not well.
func (h *Host) receivers(ctx context.Context, well func() error) ([]notify.Receiver, []*ping.Pinger, error) {
	var receivers []notify.Receiver
	var pings []*ping.Pinger
	for i, r := range h.Config.Notify {
		name := receiverName(i, r)
		address, err := h.address(ctx, r.To)
		if err != nil {
			return nil, nil, fmt.Errorf("open receiver %s: %w", name, err)
		}
		if r.Ping > 0 {
			p, err := ping.New(ping.Config{Address: address, Every: time.Duration(r.Ping), Well: well, Log: h.Log})
			if err != nil {
				return nil, nil, fmt.Errorf("open receiver %s: %w", name, err)
			}
			pings = append(pings, p)
			continue
		}
		sender, err := openSender(address)
		if err != nil {
			return nil, nil, fmt.Errorf("open receiver %s: %w", name, err)
		}
		route, err := routeOf(r)
		if err != nil {
			return nil, nil, fmt.Errorf("open receiver %s: %w", name, err)
		}
		receivers = append(receivers, notify.Receiver{Name: name, Route: route, Sender: sender})
	}
	return receivers, pings, nil
}

// address is a receiver's, with its secret.
func (h *Host) address(ctx context.Context, to string) (string, error) {
	if secret.IsReference(to) {
		return secret.Find(ctx, to)
	}
	return to, nil
}

// receiverName names a receiver without its secret: what it is, and its place in the file.
func receiverName(i int, r config.Receiver) string {
	kind, rest, _ := strings.Cut(r.To, ":")
	if secret.IsReference(r.To) {
		if scheme := kind; scheme == "env" || scheme == "credential" {
			return rest
		}
		return fmt.Sprintf("receiver-%d", i+1)
	}
	kind, _, _ = strings.Cut(kind, "+")
	return fmt.Sprintf("%s-%d", kind, i+1)
}

// routeOf is what one receiver is told, and when.
func routeOf(r config.Receiver) (notify.Route, error) {
	route := notify.Route{At: notify.Warning, Sources: r.Sources, Classes: r.Classes, EscalateAfter: time.Duration(r.EscalateAfter), Zone: time.Local}
	for i, word := range r.At {
		severity, err := notify.ParseSeverity(word)
		if err != nil {
			return route, err
		}
		if i == 0 || severity < route.At {
			route.At = severity
		}
	}
	var err error
	if route.Quiet, err = notify.ParseHours(r.Quiet); err != nil {
		return route, err
	}
	route.Daily, err = notify.ParseClock(r.Summary)
	return route, err
}
