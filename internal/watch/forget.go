package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/retention"
)

// Forgetting is what is decided of one repository: what it drops, and what goes to a colder one.
type Forgetting struct {
	retention.Decision
	Move *retention.Move `json:"move,omitempty"` // nil where nothing is ever moved from there
}

// Forget decides for the repositories of a source, of which held says what they hold. A repository and the colder one that old
// history is moved to are judged together, as what they are together. One that does not answer is not in held: then more stays.
func Forget(p config.Promise, rules retention.Rules, held map[string]history.History, facts func(repository string) retention.Facts, now time.Time) map[string]Forgetting {
	all := map[string]Forgetting{}
	cold := p.Keep.Move.To
	for name, h := range held {
		together := h
		for other, theirs := range held {
			if other != name && (other == cold || name == cold) {
				together = retention.Join(together, theirs)
			}
		}
		f := Forgetting{Decision: retention.Decide(together, rules, facts(name), now).Within(h)}
		if cold != "" && name != cold {
			m := retention.Moves(h, f.Decision, rules, cold, time.Duration(p.Keep.Move.After), now)
			f.Move = &m
		}
		all[name] = f
	}
	return all
}

// forget drops from each repository what nothing keeps, and moves what is old.
func (w *Watch) forget(ctx context.Context, s *watched) (result, error) {
	var out result
	var words []string
	var failed error
	reports, err := w.c.Eyes.Drills(ctx, s.Name)
	if err != nil {
		return out, err
	}
	held, heads := map[string]history.History{}, map[string]int64{}
	for _, name := range s.Everywhere() {
		f, err := w.c.Eyes.Facts(ctx, s.Name, name)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("forget in repository %s: %w", name, err))
			continue
		}
		held[name], heads[name] = f.History, f.Head.Size
	}
	decided := Forget(s.Promise, s.rules, held, func(name string) retention.Facts { return RetentionFacts(reports, s.damaged(name)) }, w.c.Now())
	for _, name := range s.Everywhere() {
		d, ok := decided[name]
		if !ok {
			continue
		}
		words = append(words, name+": "+d.Summary)
		if _, err := w.c.Hands.Forget(ctx, s.Name, name, repository.Order{Names: d.Names(), Reason: d.Summary, Decided: heads[name]}); err != nil {
			failed = errors.Join(failed, fmt.Errorf("forget in repository %s: %w", name, err))
			continue
		}
		out.objects = append(out.objects, d.Names()...)
		out.bytes += d.Bytes()
		if d.Move == nil || len(d.Move.Drop) == 0 {
			continue
		}
		if err := w.c.Hands.Move(ctx, s.Name, name, *d.Move); err != nil {
			failed = errors.Join(failed, fmt.Errorf("move from repository %s to %s: %w", name, d.Move.To, err))
			continue
		}
		words = append(words, name+": "+d.Move.Summary)
		out.objects = append(out.objects, d.Move.Names()...)
	}
	out.detail = strings.Join(words, "; ")
	return out, failed
}

// RetentionFacts are what drills proved, and what is damaged.
func RetentionFacts(reports []drill.Report, damaged []string) retention.Facts {
	f := retention.Facts{Damaged: damaged}
	for _, r := range reports {
		if r.Verdict == drill.Proved {
			f.Proofs = append(f.Proofs, retention.Proof{Base: r.Base, Time: r.Ended, Report: "report/" + r.ID()})
		}
	}
	return f
}
