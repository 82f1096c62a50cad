package drill

import (
	"strings"

	"github.com/backstaydb/backstay/internal/engine"
)

// Check is one question that was put to the restored data, and its answer.
type Check struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Detail  string  `json:"detail"` // the answer in words
	Seconds float64 `json:"seconds"`

	// Owner says that the owner of the data asks, in backstay.yaml, and not the engine.
	Owner bool `json:"owner,omitempty"`
	// Unasked is why the owner's question could not be put: the host is to blame, and neither the backup nor the answer.
	Unasked string `json:"unasked,omitempty"`
	Want    string `json:"want,omitempty"`   // what a query must give; "" where anything but nothing will do
	Got     string `json:"got,omitempty"`    // what it gave
	Output  string `json:"output,omitempty"` // the last lines that a command printed
}

// failed reports whether the question was put and the answer is not good.
func (c Check) failed() bool { return !c.OK && c.Unasked == "" }

// engineChecks are those that an engine made.
func engineChecks(made []engine.Check) []Check {
	var checks []Check
	for _, c := range made {
		checks = append(checks, Check{Name: c.Name, OK: c.OK, Detail: c.Detail, Seconds: c.Seconds})
	}
	return checks
}

// told lists checks with what they say.
func told(checks []Check, which func(Check) bool) string {
	var words []string
	for _, c := range checks {
		if which(c) {
			words = append(words, c.Name+": "+c.Detail)
		}
	}
	return strings.Join(words, "; ")
}
