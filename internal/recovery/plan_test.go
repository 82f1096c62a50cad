package recovery

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
)

func TestPlanIsPrintedForPeople(t *testing.T) {
	w := newWorld()
	p, err := PlanFor(w.history, history.Target{Kind: history.AtPosition, Position: history.At(1, 34)}, Limits{LayBytesPerSecond: 100, ReplayBytesPerSecond: 10})
	if err != nil {
		t.Fatal(err)
	}
	const want = `recover shop to position:1/34
  because  base b25 of 2026-11-20 10:25:00Z is the nearest before the target, and 2 segments of log lead on to it
  base     b25, 832 B, position 1/25 of 2026-11-20 10:25:00Z
  log      2 × segment, 344 B, position 1/25 to 1/35
  fetches  444 B, takes about 43s`
	if got := p.String(); got != want {
		t.Errorf("plan:\n%s\nwant:\n%s", got, want)
	}
	if p.Guessed || !strings.Contains(w.plan(t, "latest").String(), "no drill has measured it") {
		t.Error("guessing is not told")
	}
}

func TestPlanWarnsOfWhatLatestLeavesOut(t *testing.T) {
	w := newWorld()
	w.history.Segments = append(w.history.Segments[:6:6], w.history.Segments[7]) // 30-35 is missing
	p, err := PlanFor(w.history, history.Target{Kind: history.Latest}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Chain.Stop != history.At(1, 30) || len(p.Warnings) != 1 || !strings.Contains(p.String(), "warning") {
		t.Errorf("plan %s", p)
	}
	_, err = PlanFor(w.history, history.Target{Kind: history.AtPosition, Position: history.At(1, 38)}, Limits{})
	if _, ok := errors.AsType[*history.UnreachableError](err); !ok {
		t.Errorf("error %v", err)
	}
}

func TestPlanFieldNames(t *testing.T) {
	b, err := json.Marshal(newWorld().plan(t, "latest"))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"source", "engine", "target", "chain", "fetch_bytes", "lay_bytes", "replay_bytes", "expected_seconds", "expected_is_guess", "reason"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("no field %s in %s", name, b)
		}
	}
}

func TestUnknownTargetsNameTheKnownOnes(t *testing.T) {
	w := newWorld()
	for _, s := range []string{"lsn:0/1", "seq:x", "xid:x", "xid:7", "name:nobody"} {
		target, err := history.ParseTarget(s, ten)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Resolve(t.Context(), w.origin("local"), nil, enginetest.Values{}, target)
		if err == nil {
			t.Errorf("%s: no error", s)
		}
		if e, ok := errors.AsType[*UnknownTargetError](err); ok != (target.Key == "lsn") || ok && !strings.Contains(e.Hint(), "before-seq") {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestErrorsSpeakAsWhoAsked(t *testing.T) {
	w := newWorld()
	asked := history.Target{Kind: history.Custom, Key: "txid", Value: "99"}
	_, err := PlanFor(w.history, history.Target{Kind: history.AtPosition, Position: history.At(0, 99)}, Limits{})
	if err = AskedFor(asked, err); !strings.Contains(err.Error(), "recover shop to txid:99:") {
		t.Errorf("error %v", err)
	}
	p := w.plan(t, "latest")
	p.Asked, p.Target = asked, history.Target{Kind: history.AtPosition, Position: history.At(0, 40)}
	if got := p.String(); !strings.HasPrefix(got, "recover shop to txid:99 (position 1/40)\n") {
		t.Errorf("plan %s", got)
	}
}
