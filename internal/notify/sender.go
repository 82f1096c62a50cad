package notify

import (
	"context"
	"errors"
	"time"
)

// Sender brings messages to one receiver. Suite notifytest holds every implementation to the duties below.
type Sender interface {
	// Send returns nil only when the other side has taken m. It may be called again with a message that was taken
	// before, since the outbox cannot know whether a crash came before or after: m.ID is passed on wherever the other
	// side can tell doubles apart. Calls come one at a time and on a goroutine of the receiver's own; Send returns soon
	// after ctx ends, whatever the other side does. Errors hold no secret. An error for which IsPermanent is true means
	// that the same message would be refused again (a wrong key, a receiver that is gone); any other may pass.
	Send(ctx context.Context, m Message) error
}

// Repeater is a Sender whose receiver forgets what it does not hear again. Every says how often it wants to hear of what
// lasts; a route's own Repeat counts more.
type Repeater interface{ Every() time.Duration }

// Failure says why a message was not taken, in words that hold no secret.
type Failure struct {
	Reason    string
	Permanent bool          // the same message would be refused again
	Wait      time.Duration // how long the other side asks to be left alone; zero means that it does not say
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

// IsPermanent says whether the same message would be refused again.
func IsPermanent(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Permanent
}

// waitOf returns how long the other side asks to be left alone.
func waitOf(err error) time.Duration {
	var f *Failure
	if errors.As(err, &f) {
		return f.Wait
	}
	return 0
}
