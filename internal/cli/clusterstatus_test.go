package cli

import (
	"testing"

	"github.com/backstaydb/backstay/internal/api"
)

// TestALagIsShownWhereThereIsOne: in bytes where nobody knows how old the data is.
func TestALagIsShownWhereThereIsOne(t *testing.T) {
	for want, m := range map[string]api.ClusterMember{
		"-":             {Role: "primary", LagSeconds: -1},
		"0 ms":          {Role: "replica"},
		"2.5 s":         {Role: "replica", LagSeconds: 2.5, LagBytes: 9 << 20},
		"9.4 MB":        {Role: "replica", LagSeconds: -1, LagBytes: 9 << 20},
		"not streaming": {Role: "replica", LagSeconds: -1, NoStream: true},
		"?":             {Role: "replica", LagSeconds: -1},
	} {
		if got := lagOf(m); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
}
