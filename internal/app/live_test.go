package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/history"
)

// TestStateOfASourceIsWhatHappens holds that nothing reads as followed that is not.
func TestStateOfASourceIsWhatHappens(t *testing.T) {
	whole := []archive.RepositoryStatus{{Bases: 1, Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}}
	gap := &history.GapError{From: history.At(1, 7), Reason: "the log was removed"}
	for name, c := range map[string]struct {
		status archive.Status
		state  string
		says   string
	}{
		"away":           {archive.Status{SourceError: errors.New("refused"), Repositories: whole}, stateFailing, ""},
		"not there yet":  {archive.Status{Repositories: whole}, stateStarting, ""},
		"about to begin": {archive.Status{Connected: true, Repositories: whole}, stateStarting, ""},
		"first base":     {archive.Status{Connected: true, Repositories: []archive.RepositoryStatus{{}}}, stateBase, "the first base"},
		"gap":            {archive.Status{Connected: true, Gap: gap, Repositories: whole}, stateHealing, "whole up to 2026-11-21 12:00:00Z"},
		"gap, and fails": {archive.Status{Connected: true, Gap: gap, SourceError: errors.New("no base"), Repositories: whole}, stateFailing, ""},
		"base to come":   {archive.Status{Connected: true, Following: true, Gap: gap, Repositories: whole}, stateHealing, "the log was removed"},
		"all is well":    {archive.Status{Connected: true, Following: true, Repositories: whole}, stateFollowing, ""},
	} {
		var out api.Source
		(&protected{}).tell(&out, c.status, c.status.Repositories[0].Bases)
		if out.State != c.state || !strings.Contains(out.Text, c.says) || out.State == stateFailing && out.Error == "" {
			t.Errorf("%s: %s, %q, %q", name, out.State, out.Text, out.Error)
		}
	}
}
