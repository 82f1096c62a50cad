// Package notifytest is the suite that every notify.Sender passes.
package notifytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
)

// Mode is how the other side behaves.
type Mode int

// How another side can behave.
const (
	Takes   Mode = iota // it takes messages
	Busy                // it says that it cannot take them now
	Refuses             // it says that the key is wrong
	Hangs               // it takes the connection and says nothing
	Drops               // it closes connections without a word
)

// World is a sender and the other side, which the test plays.
type World struct {
	Sender  notify.Sender
	Set     func(Mode)
	Taken   func() []string // what the other side took, each as it came over the wire
	Secrets []string        // parts of the address that no error may hold
	Knows   bool            // doubles can be told apart by the message's ID, which stands in what was taken
}

// Step is one duty of a sender.
type Step struct {
	Name string
	Run  func(context.Context, World) error
}

// Steps returns all duties, each to be run on a World of its own.
func Steps() []Step {
	return []Step{
		{"a message that was sent was taken, with its words", words},
		{"a message may be sent again", again},
		{"foreign letters, long texts and stray control characters arrive", strange},
		{"a busy receiver is a passing failure", busy},
		{"a refused key is a lasting failure", refused},
		{"a dropped connection is a passing failure", dropped},
		{"a receiver that hangs is left when the time is over", hangs},
		{"a cancelled call ends at once", cancelled},
		{"after failures messages are taken again", recovers},
		{"calls may come from several goroutines in turn", inTurn},
	}
}

// Message returns one that a notifier could have made.
func Message(id string) notify.Message {
	at := time.Now().UTC().Truncate(time.Second)
	return notify.Message{
		ID: id, Receiver: "ops", Host: "db1", At: at, Kind: notify.Changes, Severity: notify.Critical,
		Subject: "[backstay db1] critical: orders (rpo): 12s of commits are not durable",
		Text:    "critical: orders (rpo): 12s of commits are not durable\ndo: look at the store\nhost db1",
		Body:    "CRITICAL: rpo of orders\n  What:   12s of commits are not durable\n  Do:     look at the store\n",
		Changes: []notify.Change{{Kind: notify.Began, Notice: notify.Notice{
			Fingerprint: "rpo/orders", Objective: "rpo", Source: "orders", Class: "critical", Severity: notify.Critical,
			Since: at.Add(-time.Minute), Reason: "12s of commits are not durable", Do: "look at the store", Host: "db1",
		}}},
	}
}

const patience = 500 * time.Millisecond // how long a call to a receiver that hangs is given

func words(ctx context.Context, w World) error {
	if err := w.Sender.Send(ctx, Message("one")); err != nil {
		return err
	}
	taken := w.Taken()
	if len(taken) != 1 {
		return fmt.Errorf("%d messages were taken, not one", len(taken))
	}
	for _, want := range []string{"12s of commits are not durable", "look at the store"} {
		if !strings.Contains(taken[0], want) {
			return fmt.Errorf("%q is missing in what was taken:\n%s", want, taken[0])
		}
	}
	if w.Knows && !strings.Contains(taken[0], "one") {
		return fmt.Errorf("the ID is missing in what was taken:\n%s", taken[0])
	}
	return nil
}

func again(ctx context.Context, w World) error {
	return errors.Join(w.Sender.Send(ctx, Message("one")), w.Sender.Send(ctx, Message("one")))
}

func strange(ctx context.Context, w World) error {
	m := Message("strange")
	m.Subject = "[backstay db1] critical: Überfällig ✓ 数据库\x07 \u202e" + strings.Repeat("ü", 120)
	m.Text = strings.Repeat("Zeile ü\n.\n..\n", 150) + "the end"
	m.Body = strings.Repeat("Zeile ü\n.\n..\nFrom here\n", 2000) + "the end\n"
	m.Changes[0].Reason = "Überfällig " + strings.Repeat("ü", 500)
	if err := w.Sender.Send(ctx, m); err != nil {
		return err
	}
	if len(w.Taken()) == 0 {
		return errors.New("nothing was taken")
	}
	return nil
}

func busy(ctx context.Context, w World) error    { return fails(ctx, w, Busy, false) }
func refused(ctx context.Context, w World) error { return fails(ctx, w, Refuses, true) }
func dropped(ctx context.Context, w World) error { return fails(ctx, w, Drops, false) }

// fails says what is wrong unless a message fails in mode as it should.
func fails(ctx context.Context, w World, mode Mode, permanent bool) error {
	w.Set(mode)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := w.Sender.Send(ctx, Message("lost"))
	if err == nil {
		return errors.New("a message that was not taken is called sent")
	}
	if len(w.Taken()) != 0 {
		return errors.New("the other side took the message, the test is wrong")
	}
	if notify.IsPermanent(err) != permanent {
		return fmt.Errorf("permanent is %v, not %v: %w", !permanent, permanent, err)
	}
	return holdsNoSecret(w, err)
}

func holdsNoSecret(w World, err error) error {
	for _, secret := range w.Secrets {
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), secret) || strings.Contains(fmt.Sprintf("%#v", e), secret) {
				return fmt.Errorf("an error holds the secret %q", secret)
			}
		}
	}
	return nil
}

func hangs(ctx context.Context, w World) error {
	w.Set(Hangs)
	defer w.Set(Drops)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := time.Now()
	err := w.Sender.Send(ctx, Message("lost"))
	if err == nil || notify.IsPermanent(err) {
		return fmt.Errorf("not a passing failure: %w", err)
	}
	if took := time.Since(start); took > patience+3*time.Second {
		return fmt.Errorf("it took %v with a deadline of %v", took, patience)
	}
	return holdsNoSecret(w, err)
}

func cancelled(ctx context.Context, w World) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	start := time.Now()
	err := w.Sender.Send(ctx, Message("lost"))
	if err == nil || notify.IsPermanent(err) {
		return fmt.Errorf("not a passing failure: %w", err)
	}
	if took := time.Since(start); took > time.Second {
		return fmt.Errorf("it took %v", took)
	}
	return holdsNoSecret(w, err)
}

func recovers(ctx context.Context, w World) error {
	for _, mode := range []Mode{Busy, Refuses, Drops} {
		w.Set(mode)
		if err := w.Sender.Send(ctx, Message("one")); err == nil {
			return errors.New("a message that was not taken is called sent")
		}
	}
	w.Set(Takes)
	return words(ctx, w)
}

func inTurn(ctx context.Context, w World) error {
	var mu sync.Mutex
	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			errs[i] = w.Sender.Send(ctx, Message(fmt.Sprint("m", i)))
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if n := len(w.Taken()); n != len(errs) {
		return fmt.Errorf("%d messages were taken, not %d", n, len(errs))
	}
	return nil
}
