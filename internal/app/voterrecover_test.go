package app

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/api"
)

// TestOneVoterIsLeft: the folders of two are lost. The third goes on alone, by what the members promised, and two join it again.
func TestOneVoterIsLeft(t *testing.T) {
	s := newSite(t)
	_, tokens, err := s.hosts["ha1"].NewPassports(t.Context(), "ha1")
	if err != nil {
		t.Fatal(err)
	}
	s.start("ha1")
	for _, token := range tokens {
		until(t, token.Host+" joins", func() bool {
			_, err := s.hosts[token.Host].Join(t.Context(), token.Host, token.Token)
			return err == nil
		})
		s.start(token.Host)
	}
	before := s.serving("ha1", "")
	if _, err := s.hosts["ha1"].RecoverVoter(t.Context(), api.VoterRecovery{By: "anna"}); err == nil || !strings.Contains(hintOf(err), "voter replace") {
		t.Errorf("while a majority answers: %v", err)
	}
	if _, err := say(t.Context(), s.rw["ha1"], "insert into notes (text) values ('before') returning text"); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"ha2", "ha3"} {
		s.ends[host]()
		if err := os.RemoveAll(s.hosts[host].voterFolder()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.hosts["ha1"].RecoverVoter(t.Context(), api.VoterRecovery{By: "anna"}); err == nil || !strings.Contains(err.Error(), "do not answer") {
		t.Errorf("without db2 and db3: %v", err)
	}
	s.start("ha2")
	s.start("ha3")
	var dry api.VoterRecovered
	until(t, "all members answer", func() bool {
		dry, err = s.hosts["ha1"].RecoverVoter(t.Context(), api.VoterRecovery{By: "anna", DryRun: true})
		return err == nil
	}, func() string { return err.Error() })
	if dry.Done || len(dry.Clusters) != 1 || dry.Clusters[0].Before < before.Epoch || dry.Clusters[0].Epoch <= before.Epoch+900 {
		t.Errorf("dry: %+v", dry)
	}
	out, err := s.hosts["ha1"].RecoverVoter(t.Context(), api.VoterRecovery{By: "anna", Why: "fire"})
	if err != nil || !out.Done || out.Kept == "" || out.Clusters[0].Epoch < dry.Clusters[0].Epoch {
		t.Fatalf("recovered %+v, %v", out, err)
	}
	after := s.serving("ha2", "")
	if after.Epoch < out.Clusters[0].Epoch {
		t.Errorf("epoch %d serves after %d", after.Epoch, out.Clusters[0].Epoch)
	}
	if _, err := say(t.Context(), s.rw["ha1"], "insert into notes (text) values ('after') returning text"); err != nil {
		t.Error(err)
	}
	if got, err := say(t.Context(), s.rw["ha3"], "select string_agg(text, ',' order by n) from notes"); err != nil || got != "before,after" {
		t.Errorf("notes %q, %v", got, err)
	}
	turn, err := s.hosts["ha2"].ChangeVoters(t.Context(), "ha2", []string{"ha2", "ha3"}, nil, false, func(string) {})
	if err != nil || !slices.Equal(turn.Voters, siteHosts) {
		t.Errorf("turnover %+v, %v", turn, err)
	}
}
