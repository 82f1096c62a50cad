package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/watch"
)

// checkNote is what a host that only checks leaves in a repository, so that the others know: a signed note, the line "backstay
// check v0" and this as JSON.
type checkNote struct {
	Source string              `json:"source"`
	Host   string              `json:"host"`
	Tool   string              `json:"tool"`
	Ended  time.Time           `json:"ended"`
	Deep   bool                `json:"deep"`
	Found  int                 `json:"objects"`
	Bytes  int64               `json:"bytes"`
	Damage []repository.Damage `json:"damage,omitempty"`
}

const (
	checkTitle  = "backstay check v0\n"
	checkSuffix = "-check" // of the ID, as drills lie there too
)

// isDrill tells the report of a drill by its ID.
func isDrill(id string) bool {
	return !strings.HasSuffix(id, checkSuffix) && !strings.HasSuffix(id, inviteSuffix) && !strings.HasSuffix(id, fingerprintSuffix)
}

// noteCheck leaves the outcome of a check in the repository that was checked. At most maxNoted pieces of damage are named.
func (h hands) noteCheck(ctx context.Context, p *protected, repo string, deep bool, c repository.CheckReport) error {
	const maxNoted = 100
	r, err := p.writers.get(ctx, repo)
	if err != nil {
		return err
	}
	n := checkNote{Source: p.name, Host: signerName(), Tool: h.d.version, Ended: h.d.host().Now().UTC(), Deep: deep, Found: c.Objects, Bytes: c.Bytes, Damage: c.Damage[:min(len(c.Damage), maxNoted)]}
	body, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	signed, err := p.writers.signer.Sign(checkTitle + string(body) + "\n")
	if err != nil {
		return err
	}
	return r.PutReport(ctx, n.Ended.Format("20060102T150405.000Z")+checkSuffix, signed)
}

// readCheckNote reads a note of one of the verifiers.
func readCheckNote(signed []byte, verifiers []string) (n checkNote, err error) {
	text, _, err := ledger.VerifyNote(signed, verifiers)
	if err != nil {
		return n, fmt.Errorf("read check report: %w", err)
	}
	body, ok := strings.CutPrefix(text, checkTitle)
	if !ok {
		return n, errors.New("read check report: it is signed, and it is no check report")
	}
	if err := json.Unmarshal([]byte(body), &n); err != nil {
		return n, fmt.Errorf("read check report: %w", err)
	}
	return n, nil
}

// Checks reads what other hosts found when they checked a repository, the newest of each kind. What cannot be read or verified says
// nothing.
func (e *eyes) Checks(ctx context.Context, source, repo string) ([]watch.Checked, error) {
	p := e.d.part(source)
	if p == nil {
		return nil, unknownSource(source)
	}
	r, err := p.writers.get(ctx, repo)
	if err != nil {
		return nil, err
	}
	facts, err := r.Facts(ctx)
	if err != nil {
		return nil, err
	}
	trusted, err := e.d.host().trusted(source)
	if err != nil {
		return nil, err
	}
	var all []watch.Checked
	var deep, shallow bool
	for i := len(facts.Reports) - 1; i >= 0 && !(deep && shallow) && i >= len(facts.Reports)-reportsRead; i-- {
		id := facts.Reports[i].ID
		if !strings.HasSuffix(id, checkSuffix) {
			continue
		}
		n, ok := e.note(ctx, source, repo, id, r.Report, trusted)
		if !ok || n.Deep && deep || !n.Deep && shallow {
			continue
		}
		deep, shallow = deep || n.Deep, shallow || !n.Deep
		all = append(all, watch.Checked{At: n.Ended, Deep: n.Deep, Damage: n.Damage})
	}
	return all, nil
}

// note reads one note once.
func (e *eyes) note(ctx context.Context, source, repo, id string, read func(context.Context, string) ([]byte, error), trusted []string) (checkNote, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := source + "/" + repo + "/" + id
	if n, ok := e.notes[key]; ok {
		return n, true
	}
	signed, err := read(ctx, id)
	if err != nil {
		return checkNote{}, false
	}
	n, err := readCheckNote(signed, trusted)
	if err != nil {
		return checkNote{}, false
	}
	e.notes[key] = n
	return n, true
}
