package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Fingerprinter is implemented by engines whose log carries no digest of the data, and which can take one from a source that runs.
type Fingerprinter interface {
	Engine
	// Fingerprint digests some of the data of a source, as one snapshot sees it. It is bounded in what it reads and in time, holds
	// nobody up, and changes nothing at the source. A *NotGrantedError is a source that does not let us.
	Fingerprint(ctx context.Context, s Source) (Fingerprint, error)
	// Cut says at which position of a log, which reaches f.Position, the data is what f saw. It fails with a *NoCutError where there is
	// none.
	Cut(ctx context.Context, log Log, f Fingerprint) (history.Position, error)
}

// Fingerprint is what some of the data of a source was at a time. It says things of the data, so it is kept sealed.
type Fingerprint struct {
	Time     time.Time        `json:"time"`     // of the source's clock, when the snapshot was taken
	Position history.Position `json:"position"` // all that it saw was committed up to there; more may have been
	Tables   int              `json:"tables"`   // that are in it
	Rows     int64            `json:"rows"`
	Bytes    int64            `json:"bytes"`  // that were read, about
	Detail   json.RawMessage  `json:"detail"` // the engine's own
}

// Comparer is implemented by servers that can tell whether their data is what a fingerprint says. It is used after Verify.
type Comparer interface {
	Server
	// Compare asks the server, which was recovered to the position that Cut gave. err is for a broken environment.
	Compare(ctx context.Context, f Fingerprint) (Comparison, error)
}

// Comparison is what came of a Compare.
type Comparison struct {
	Why       string   // why nothing could be compared; "" if something was
	Different []string // what is not as it was, one line each
	Tables    int      // that were compared
	Rows      int64
	LeftOut   int    // tables that could not be
	Note      string // why, of the first
}

// NotGrantedError is a source that lets us do what must be done, and not what was asked for besides.
type NotGrantedError struct {
	Text   string
	Advice string
}

func (e *NotGrantedError) Error() string { return e.Text }

// Hint says what would have to be granted.
func (e *NotGrantedError) Hint() string { return e.Advice }

// NoCutError says that at no position of the log the data is what a snapshot saw: transactions became visible in another order than
// they are in the log.
type NoCutError struct{ Text string }

func (e *NoCutError) Error() string { return e.Text }
