package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
)

// A host that captures and has no key takes a checkpoint of a signer that it does not know for a forgery, and stops writing. So a
// guest, which drills and checks what that host captures, signs nothing before it is invited: by a report in the repository, a note of
// the line "backstay invitation v0" and the guest's verifier key, which a daemon leaves once it trusts that key itself.
const (
	inviteTitle  = "backstay invitation v0\n"
	inviteSuffix = "-invitation" // of the ID of the report
)

// Trust pins the verifier key of a guest. A daemon of this folder invites it within guestsEvery.
func (h *Host) Trust(source, verifier string) error {
	if _, err := note.NewVerifier(verifier); err != nil {
		return &config.Error{File: "KEY", Message: fmt.Sprintf("%q is no verifier key", verifier), Advice: `it is a name, a number and a key with + between them; "backstay run --only drill" on the other host prints it`}
	}
	pinned, err := h.trusted(source)
	if err != nil {
		return err
	}
	if len(pinned) == 0 {
		return &MissingError{Err: fmt.Errorf("trust a key for %s: this host has not seen a repository of it", source), Advice: "start the daemon once"}
	}
	guests, err := h.guests(source)
	if err != nil {
		return err
	}
	if err := h.keepKeys(source, "trusted", append(pinned, verifier)); err != nil {
		return err
	}
	return h.keepKeys(source, "guests", append(guests, verifier))
}

func (h *Host) keepKeys(source, name string, keys []string) error {
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if err := atomicfile.Write(h.sourceState(source, name), []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("pin verifier keys: %w", err)
	}
	return nil
}

// guests are the verifier keys that this host was told to trust.
func (h *Host) guests(source string) ([]string, error) {
	data, err := os.ReadFile(h.sourceState(source, "guests"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read guests: %w", err)
	}
	return strings.Fields(string(data)), nil
}

// invite leaves an invitation for each guest that has none.
func (w *writers) invite(ctx context.Context, repo *repository.Repository) error {
	guests, err := w.host.guests(w.source)
	if err != nil {
		return err
	}
	for _, guest := range guests {
		ok, err := invited(ctx, repo, guest)
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		signed, err := w.signer.Sign(inviteTitle + guest + "\n")
		if err != nil {
			return err
		}
		if err := repo.PutReport(ctx, w.host.Now().UTC().Format("20060102T150405.000Z")+inviteSuffix, signed); err != nil {
			return err
		}
	}
	return nil
}

// guestsEvery is how often a daemon looks whether somebody was let sign.
const guestsEvery = 5 * time.Second

// followGuests has guests trusted and invited that were named while the daemon runs.
func (d *daemon) followGuests(ctx context.Context) error {
	tick := time.NewTicker(guestsEvery)
	defer tick.Stop()
	for {
		for _, p := range d.fleet.all() {
			if p.elsewhere() {
				continue
			}
			if err := p.writers.followGuests(ctx); err != nil && ctx.Err() == nil {
				d.host().Log.Warn("a guest is not invited; it is tried again", "source", p.name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// followGuests trusts and invites those who were named since it was called last, in all repositories that are open.
func (w *writers) followGuests(ctx context.Context) error {
	guests, err := w.host.guests(w.source)
	if err != nil {
		return err
	}
	now := strings.Join(guests, "\n")
	w.mu.Lock()
	known, opened := now == w.followed, slices.Collect(maps.Values(w.opened))
	w.mu.Unlock()
	if known {
		return nil
	}
	pinned, err := w.host.trusted(w.source)
	if err != nil {
		return err
	}
	for _, repo := range opened {
		err := repo.Trust(ctx, pinned)
		if err == nil {
			err = w.invite(ctx, repo)
		}
		if err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.followed = now
	return nil
}

// hears has f hear of strangers.
func (w *writers) hears(f func(archive.Event)) {
	w.strangers.Lock()
	defer w.strangers.Unlock()
	w.told = f
}

// strangerEvery is how often people are told of strangers in one repository: whoever writes there can write often.
const strangerEvery = 10 * time.Minute

// stranger tells that somebody who is not listed signed in a repository. It is called while that is written to, and perhaps opened.
func (w *writers) stranger(repo string, i ledger.Ignored) {
	w.strangers.Lock()
	defer w.strangers.Unlock()
	now := w.host.Now()
	if now.Sub(w.strange[repo]) < strangerEvery {
		return
	}
	if w.strange == nil {
		w.strange = map[string]time.Time{}
	}
	w.strange[repo] = now
	if w.told != nil {
		w.told(archive.Event{Time: now, Kind: archive.Stranger, Repository: repo, Text: "somebody who is not listed signed " + i.Object + ", which does not count: " + i.Reason})
	}
}

// invited reports whether somebody who may sign has invited a guest.
func invited(ctx context.Context, repo *repository.Repository, guest string) (bool, error) {
	facts, err := repo.Facts(ctx)
	if err != nil {
		return false, err
	}
	for _, ref := range facts.Reports {
		if !strings.HasSuffix(ref.ID, inviteSuffix) {
			continue
		}
		signed, err := repo.Report(ctx, ref.ID)
		if err != nil {
			return false, err
		}
		text, _, err := ledger.VerifyNote(signed, repo.Verifiers())
		if err == nil && text == inviteTitle+guest+"\n" {
			return true, nil
		}
	}
	return false, nil
}

// maySign joins the signers of a repository where this host is invited and has not joined yet; key is a reader's. It fails where it is
// not: what it signs would be a stranger's to the host that captures.
func (h *Host) maySign(ctx context.Context, source string, o OpenRepository, signer *ledger.Signer, key Key) error {
	if slices.Contains(o.Repo.Verifiers(), signer.Verifier()) {
		return nil
	}
	w, err := h.guestWriters(source, o.engine(), key)
	if err != nil {
		return err
	}
	if !w.isGuest() {
		return w.uninvited(o.Repo)
	}
	_, err = w.get(ctx, o.Name)
	return errors.Join(err, w.close())
}

// uninvited says that the host that captures a source does not know this one.
func (w *writers) uninvited(repo *repository.Repository) error {
	return &KeyError{
		Err:    fmt.Errorf("write to %s in %s: the host that captures it does not know this one yet", w.source, repo.Store()),
		Advice: fmt.Sprintf("there, run: backstay key trust %s %s; a daemon that runs there needs some seconds; then try again here", w.source, w.signer.Verifier()),
	}
}
