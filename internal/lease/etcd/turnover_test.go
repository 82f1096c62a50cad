package etcd

import (
	"strings"
	"testing"
)

// seatsOf reads "ha1* ha2 ha3! ha4?": leads, answers, does not, is a learner.
func seatsOf(text string) []Seat {
	var all []Seat
	for _, word := range strings.Fields(text) {
		name := strings.TrimRight(word, "*!?")
		all = append(all, Seat{Voter: Voter{name, "https://" + name, ""}, Answers: !strings.Contains(word, "!"), Leads: strings.Contains(word, "*"), Learner: strings.Contains(word, "?")})
	}
	return all
}

func TestTurnovers(t *testing.T) {
	for _, c := range []struct{ seats, in, out, want string }{
		{"ha1* ha2 ha3", "ha4", "ha3", "add ha4, promote ha4, remove ha3"},
		{"ha1 ha2 ha3*", "ha4", "ha3", "add ha4, promote ha4, remove ha3*"},
		{"ha1* ha2 ha3!", "ha4", "ha3", "remove ha3, add ha4, promote ha4"},
		{"ha1* ha2 ha3!", "ha3", "ha3", "remove ha3, add ha3, promote ha3"},
		{"ha1* ha2 ha3", "ha3", "ha3", "refused: ha3 answers, and has all that it needs"},
		{"ha1* ha2 ha4?", "ha4", "ha3", "add ha4, promote ha4"}, // broken off after the dead one left
		{"ha1* ha2 ha3 ha4", "ha4", "ha3", "remove ha3"},        // broken off before the old one left
		{"ha1* ha2 ha4", "ha4", "ha3", ""},                      // done
		{"ha1* ha2 ha3", "ha4 ha5", "", "add ha4, promote ha4, add ha5, promote ha5"},
		{"ha1*", "ha2 ha3", "", "add ha2, promote ha2, add ha3, promote ha3"},
		{"ha1* ha2 ha3", "ha4", "", "refused: 4 voters would be left: an even number tolerates no more failures than one less, and can split in halves"},
		{"ha1* ha2 ha3", "", "ha3", "refused: 2 voters would be left: an even number tolerates no more failures than one less, and can split in halves"},
		{"ha1* ha2 ha3", "", "ha1 ha3", "remove ha3, remove ha1*"},
		{"ha1* ha2 ha3 ha4! ha5!", "", "ha2 ha3", "refused: to remove ha2 would leave 2 of 4 voters that answer, and that is no majority"},
		{"ha1* ha2 ha3 ha4! ha5!", "", "ha4 ha5", "remove ha4, remove ha5"},
		{"ha1* ha2 ha3!", "ha4", "ha2", "refused: with ha4 there would be 4 voters, and 2 of those that are there answer"},
		{"ha1* ha2", "ha4", "", "add ha4, promote ha4"},
		{"ha1* ha2 ha3 ha4?", "ha5", "ha3", "refused: ha4 is being added"},
		{"ha1* ha2 ha3 ha4?", "", "ha4", "remove ha4"},
		{"ha1*", "", "ha1", "refused: to remove ha1 would leave 0 of 0 voters that answer, and that is no majority"},
	} {
		turn := Turnover{Out: strings.Fields(c.out)}
		for _, s := range seatsOf(c.in) {
			turn.In = append(turn.In, s.Voter)
		}
		steps, err := turn.Steps(seatsOf(c.seats))
		var got []string
		for _, s := range steps {
			text := string(s.Verb) + " " + s.Voter.Name
			if s.Leads {
				text += "*"
			}
			got = append(got, text)
		}
		text := strings.Join(got, ", ")
		if err != nil {
			text = "refused: " + err.Error()
		}
		if text != c.want {
			t.Errorf("%s, in %s, out %s:\n got %s\nwant %s", c.seats, c.in, c.out, text, c.want)
		}
	}
}
