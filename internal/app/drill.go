package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/recovery"
	"github.com/backstaydb/backstay/internal/repository"
)

// DrillOptions say what is drilled.
type DrillOptions struct {
	Pick     drill.Pick
	Target   history.Target
	Tool     string         // version of backstay
	Scratch  string         // folder for scratch folders; "" means the default
	Checks   []config.Check // of the owner; nil means those of the file
	Progress func(step recovery.Step, done, total int64)
}

// Drill proves, or fails to prove, that the first repository of r can be recovered from. The signed report is put
// into that repository and, as a file, into the state folder; path names the file, "" on a bare machine.
func (r *Reached) Drill(ctx context.Context, o DrillOptions) (report drill.Report, path string, err error) {
	e, err := r.Engine()
	if err != nil {
		return report, "", err
	}
	repo := r.Repositories[0]
	if !repo.Repo.CanRead() {
		return report, "", &KeyError{Err: errors.New("a drill needs a key that can read, and none is at hand"), Advice: "name its file with --key; it can be read with the key of " + readers(repo)}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	c := drill.Config{
		Source: r.Source, Repository: repo.Name, Engine: e, Pick: o.Pick, Target: o.Target,
		Scratch: o.Scratch, Tool: o.Tool, Host: host, Progress: o.Progress,
		Facts: func(ctx context.Context) (drill.Facts, error) { return r.drillFacts(ctx) },
	}
	var signer *ledger.Signer
	if r.host != nil {
		if signer, err = r.host.signer(); err != nil {
			return report, "", err
		}
		c.Signer, c.Log, c.Now = signer, r.host.Log, r.host.Now
		c.Questions, c.Dir = r.host.questions(r.Source, o.Checks), r.host.Config.Dir()
	}
	if c.Scratch, err = r.scratch(c.Scratch, e); err != nil {
		return report, "", err
	}
	if report, err = drill.Run(ctx, c); err != nil || r.host == nil {
		return report, "", err
	}
	path, err = r.host.keepReport(ctx, repo, signer, report)
	return report, path, err
}

// sharedScratch is where root drills engines whose server runs as another user: such a user cannot enter the state
// folder, and a folder in /tmp could be somebody else's.
const sharedScratch = "/var/lib/backstay/drill"

// scratch makes the folder that drills restore into; given is what was asked for, "" for the default.
func (r *Reached) scratch(given string, e engine.Engine) (string, error) {
	_, server := e.(engine.Starter)
	shared := server && os.Geteuid() == 0
	dir, perm := given, fs.FileMode(0o700)
	if shared {
		perm = 0o711 // a way through, and no look inside
	}
	switch {
	case given != "":
	case shared:
		dir = sharedScratch
	case r.host != nil:
		dir = filepath.Join(r.host.State(), "drill")
	default:
		dir = filepath.Join(os.TempDir(), "backstay-drill")
	}
	if err := os.MkdirAll(dir, perm); err != nil {
		return "", fmt.Errorf("make the scratch folder: %w", err)
	}
	return dir, nil
}

// sweep removes what drills of this host left that died with their process.
func (h *Host) sweep() {
	for _, root := range []string{filepath.Join(h.State(), "drill"), sharedScratch} {
		removed, err := drill.Sweep(root)
		if len(removed) > 0 {
			h.Log.Info("removed what a drill left that was killed", "folders", removed)
		}
		if err != nil {
			h.Log.Warn("what a drill left that was killed is still there", "error", err)
		}
	}
}

func (r *Reached) drillFacts(ctx context.Context) (drill.Facts, error) {
	repo, err := Reach{}.facts(ctx, r.Repositories[0])
	if err != nil {
		return drill.Facts{}, err
	}
	f := drill.Facts{Checkpoint: drill.NewCheckpoint(repo.Facts.Head)}
	f.Origin, f.Spool = r.withSpool(repo.origin())
	f.Fingerprints = func(ctx context.Context) ([]engine.Fingerprint, error) {
		return openFingerprints(ctx, repo.Repo, repo.Facts.Reports)
	}
	for _, other := range r.Repositories[1:] {
		f.Others = append(f.Others, other.origin())
	}
	return f, nil
}

// keepReport writes the report to a file and then into its repository, if this host may sign there.
func (h *Host) keepReport(ctx context.Context, o OpenRepository, signer *ledger.Signer, report drill.Report) (string, error) {
	dir := h.sourceState(report.Source, "reports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("keep report: %w", err)
	}
	path := filepath.Join(dir, report.ID()+".txt")
	if err := os.WriteFile(path, report.Signed, 0o644); err != nil {
		return "", fmt.Errorf("keep report: %w", err)
	}
	key, err := h.key("")
	if err == nil {
		err = h.maySign(ctx, report.Source, o, signer, key)
	}
	if err != nil {
		h.Log.Warn("the report is kept in its file, and not in the repository", "repository", o.Name, "error", err, "hint", hintOf(err))
		return path, nil
	}
	trusted, err := h.trusted(report.Source)
	if err != nil {
		return path, err
	}
	repo, err := repository.Open(ctx, o.Repo.Store(), repository.Options{Source: report.Source, Signer: signer, Trusted: trusted, Lock: h.lockOf(o.Name), Log: h.Log, Now: h.Now})
	if err != nil {
		return path, fmt.Errorf("keep report in repository %s: %w", o.Name, err)
	}
	if err := repo.PutReport(ctx, report.ID(), report.Signed); err != nil {
		return path, fmt.Errorf("keep report in repository %s: %w", o.Name, err)
	}
	return path, nil
}

// VerifyReport checks the signature of a report, or of a page with one in it. Without pinned keys it is held against the key of this host.
func VerifyReport(signed []byte, pinned []string, h *Host) (drill.Report, string, error) {
	if len(pinned) == 0 {
		s, err := h.signer()
		if err != nil {
			return drill.Report{}, "", err
		}
		pinned = []string{s.Verifier()}
	}
	if drill.IsPage(signed) {
		return drill.VerifyPage(signed, pinned)
	}
	return drill.VerifyReport(signed, pinned)
}
