package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/watch"
)

// A fingerprint lies among the reports of a repository, sealed to its readers: it says how many rows tables have.
const (
	fingerprintSuffix = "-fingerprint"       // of the ID
	ageTitle          = "age-encryption.org" // how an age file begins
	fingerprintsRead  = 32                   // of the newest: there is one for each drill
)

// isFingerprint tells what is sealed from what is signed.
func isFingerprint(note []byte) bool { return bytes.HasPrefix(note, []byte(ageTitle)) }

// fingerprints reports whether fingerprints can be taken of a source at all.
func fingerprints(url string, cfg *config.Config) bool {
	e, err := engineOf(kindOf(url, cfg))
	if err != nil {
		return false
	}
	_, ok := e.(engine.Fingerprinter)
	return ok
}

// Fingerprint takes one of a source and puts it into all of its repositories.
func (h hands) Fingerprint(ctx context.Context, source string) (watch.Taken, error) {
	p := h.d.part(source)
	if p == nil || p.elsewhere() {
		return watch.Taken{}, unknownSource(source)
	}
	host := h.d.host()
	f, err := host.fingerprint(ctx, source)
	if refused, ok := errors.AsType[*engine.NotGrantedError](err); ok {
		return watch.Taken{Refused: refused.Error(), Hint: refused.Hint()}, nil
	}
	if err != nil {
		return watch.Taken{}, err
	}
	taken := watch.Taken{ID: f.Time.UTC().Format("20060102T150405.000Z") + fingerprintSuffix, Position: f.Position, Tables: f.Tables, Rows: f.Rows, Bytes: f.Bytes}
	plain, err := json.Marshal(f)
	if err != nil {
		return watch.Taken{}, fmt.Errorf("keep fingerprint: %w", err)
	}
	var errs []error
	for _, name := range p.config.Repositories {
		if err := keepFingerprint(ctx, p, name, taken.ID, plain); err != nil {
			errs = append(errs, fmt.Errorf("keep fingerprint in repository %s: %w", name, err))
		}
	}
	return taken, errors.Join(errs...)
}

func keepFingerprint(ctx context.Context, p *protected, name, id string, plain []byte) error {
	r, err := p.writers.get(ctx, name)
	if err != nil {
		return err
	}
	sealed, err := r.SealNote(plain)
	if err != nil {
		return err
	}
	return r.PutReport(ctx, id, sealed)
}

// fingerprint takes one over connections of its own.
func (h *Host) fingerprint(ctx context.Context, source string) (f engine.Fingerprint, err error) {
	e, target, err := protectorOf(h.Config.Sources[source].URL, h.Config)
	if err != nil {
		return f, err
	}
	printer, ok := e.(engine.Fingerprinter)
	if !ok {
		return f, &engine.NotGrantedError{Text: "the log of engine " + e.Kind() + " has a digest of its own for every moment"}
	}
	s, err := e.Connect(ctx, target, engine.Options{Name: source, StateDir: h.sourceState(source, "engine"), Log: h.Log, Now: h.Now})
	if err != nil {
		return f, &SourceError{Source: source, Err: err}
	}
	f, err = printer.Fingerprint(ctx, s)
	return f, errors.Join(err, s.Close())
}

// openFingerprints opens the newest ones that a repository holds. One that is damaged is for check to name; here it is an error, as a
// drill that went on without would not say so.
func openFingerprints(ctx context.Context, r *repository.Repository, refs []repository.ReportRef) ([]engine.Fingerprint, error) {
	refs = slices.DeleteFunc(slices.Clone(refs), func(ref repository.ReportRef) bool { return !strings.HasSuffix(ref.ID, fingerprintSuffix) })
	var all []engine.Fingerprint
	for _, ref := range refs[max(0, len(refs)-fingerprintsRead):] {
		sealed, err := r.Report(ctx, ref.ID)
		if err != nil {
			return nil, err
		}
		plain, err := r.OpenNote(sealed)
		if err != nil {
			return nil, err
		}
		var f engine.Fingerprint
		if err := json.Unmarshal(plain, &f); err != nil {
			return nil, fmt.Errorf("read fingerprint %s: %w", ref.ID, err)
		}
		all = append(all, f)
	}
	return all, nil
}
