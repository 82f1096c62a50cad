package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

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

// Trust pins the verifier key of a guest. The daemon of this folder invites it when it starts again.
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

// maySign joins the signers of a repository where this host is invited and has not joined yet. It fails where it is not: what it signs
// would stop the host that captures.
func (h *Host) maySign(ctx context.Context, source string, o OpenRepository, signer *ledger.Signer) error {
	if slices.Contains(o.Repo.Verifiers(), signer.Verifier()) {
		return nil
	}
	key, err := h.key("")
	if err != nil {
		return err
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
		Err:    fmt.Errorf("leave reports on %s in %s: the host that captures it does not know this one yet", w.source, repo.Store()),
		Advice: fmt.Sprintf("there, run: backstay key trust %s %s; restart its daemon, and start this one again", w.source, w.signer.Verifier()),
	}
}
