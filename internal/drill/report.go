package drill

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/recovery"
)

// Verdict is what a drill came to.
type Verdict string

// The verdicts.
const (
	Proved         Verdict = "proved"
	BackupBad      Verdict = "backup-bad"
	CheckFailed    Verdict = "check-failed" // sound data that does not answer as its owner expects
	EnvironmentBad Verdict = "environment-bad"
	DataDiffers    Verdict = "data-differs" // sound data that is not what a fingerprint says the source had
)

// Checkpoint names the state of the repository that was drilled.
type Checkpoint struct {
	Number uint64 `json:"number"`
	Size   int64  `json:"size"` // leaves
	Root   string `json:"root"` // base64
}

// NewCheckpoint takes from a checkpoint what a report keeps of it.
func NewCheckpoint(c ledger.Checkpoint) Checkpoint {
	return Checkpoint{Number: c.Number, Size: c.Size, Root: base64.StdEncoding.EncodeToString(c.Root[:])}
}

// Report is the outcome of one drill. See the package documentation for its fields.
type Report struct {
	Format     int    `json:"format"`
	Source     string `json:"source"`
	Engine     string `json:"engine"`
	Repository string `json:"repository"`
	Tool       string `json:"tool"`
	Host       string `json:"host"`

	Asked      string     `json:"asked"`
	Target     string     `json:"target,omitempty"`
	Checkpoint Checkpoint `json:"checkpoint"`
	Began      time.Time  `json:"began"`
	Ended      time.Time  `json:"ended"`

	Base     string           `json:"base,omitempty"`
	Segments int              `json:"segments"`
	Want     history.Position `json:"want"`
	Reached  engine.Reached   `json:"reached"`
	Clock    string           `json:"clock,omitempty"`    // whose clock stamped the time in Reached
	Sentinel *engine.Second   `json:"sentinel,omitempty"` // that was recovered; nil if none is in the data
	Local    *recovery.Local  `json:"local,omitempty"`

	Verdict      Verdict                `json:"verdict"`
	Reason       string                 `json:"reason"`
	Lost         string                 `json:"lost,omitempty"`
	Damaged      *recovery.Object       `json:"damaged,omitempty"`
	Alternatives []recovery.Alternative `json:"alternatives,omitempty"`
	Checks       []Check                `json:"checks,omitempty"`
	Compared     *Compared              `json:"compared,omitempty"` // with a fingerprint of the source; nil if the target has none

	LaidBytes  int64 `json:"laid_bytes"`
	LogBytes   int64 `json:"log_bytes"`
	FetchBytes int64 `json:"fetch_bytes"`

	FetchSeconds  float64 `json:"fetch_seconds"`
	LaySeconds    float64 `json:"lay_seconds"`
	ReplaySeconds float64 `json:"replay_seconds"`
	StartSeconds  float64 `json:"start_seconds"`
	VerifySeconds float64 `json:"verify_seconds"`
	DrillSeconds  float64 `json:"drill_seconds"`

	Signed []byte `json:"-"` // the report as a signed note; nil if no signer was given
}

// ID names the report in a repository. It is not unique among drills that began in the same millisecond.
func (r Report) ID() string { return r.Began.UTC().Format("20060102T150405.000Z") }

// Limits are the speeds that were measured, for the plans to come; zero where there was too little to measure.
func (r Report) Limits() recovery.Limits {
	return recovery.Limits{
		LayBytesPerSecond:    rate(r.LaidBytes, r.LaySeconds),
		ReplayBytesPerSecond: rate(r.LogBytes, r.FetchSeconds+r.ReplaySeconds),
	}
}

// rate ignores what took less than 10 ms: that is noise.
func rate(bytes int64, seconds float64) float64 {
	if bytes <= 0 || seconds < 0.01 {
		return 0
	}
	return float64(bytes) / seconds
}

// stale is by how much a sentinel may be older than the last commit: with it, one is written each second.
const stale = time.Minute

// Second is which second was recovered, and by whose word: that of a sentinel which was written up to then, or else the time of the last
// commit.
func (r Report) Second() (at time.Time, word string) {
	if s := r.Sentinel; s != nil && r.Reached.Time.Sub(s.Time) < stale {
		return s.Time, "by the sentinel"
	}
	return r.Reached.Time, "by the last commit"
}

// String is the report in one paragraph for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s at %s from %s: %s", r.Verdict, r.Source, r.Target, r.Repository, r.Reason)
	if r.Lost != "" {
		fmt.Fprintf(&b, "; %s", r.Lost)
	}
	fmt.Fprintf(&b, "\nfetch %.1fs, lay %.1fs, replay %.1fs, start %.1fs, verify %.1fs; %.1fs in all",
		r.FetchSeconds, r.LaySeconds, r.ReplaySeconds, r.StartSeconds, r.VerifySeconds, r.DrillSeconds)
	return b.String()
}

// title is the first line of what is signed.
const title = "backstay drill v0\n"

// signer signs a text that ends in a newline as a note; *ledger.Signer is one.
type signer interface {
	Sign(text string) ([]byte, error)
}

// sign makes Signed.
func (r *Report) sign(s signer) error {
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("sign report: %w", err)
	}
	if r.Signed, err = s.Sign(title + string(body) + "\n"); err != nil {
		return fmt.Errorf("sign report: %w", err)
	}
	return nil
}

// VerifyReport checks a signed report against verifier keys and returns it with the name of the key that signed it.
// It needs neither the repository nor a network.
func VerifyReport(signed []byte, verifiers []string) (r Report, signer string, err error) {
	text, signer, err := ledger.VerifyNote(signed, verifiers)
	if err != nil {
		return Report{}, "", fmt.Errorf("verify report: %w", err)
	}
	body, ok := strings.CutPrefix(text, title)
	if !ok {
		return Report{}, "", errors.New("verify report: it is signed, and it is no drill report")
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return Report{}, "", fmt.Errorf("verify report: %w", err)
	}
	if r.Format != 0 {
		return Report{}, "", fmt.Errorf("verify report: format %d is newer than this version of Backstay", r.Format)
	}
	r.Signed = signed
	return r, signer, nil
}
