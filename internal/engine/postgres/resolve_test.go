package postgres

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestTransactionsOfLaterEpochs reads the numbers that people have, of pg_current_xact_id, as log has them.
func TestTransactionsOfLaterEpochs(t *testing.T) {
	for asked, want := range map[string]string{
		"xid:731": "xid:731", "before-xid:731": "before-xid:731", "xid:4294967295": "xid:4294967295",
		"xid:4294968027": "xid:731", "before-xid:30064771803": "before-xid:731", // 731 of epoch 1 and 7
		"xid:0": "", "xid:4294967296": "", "xid:-1": "", "xid:x": "", "xid:18446744073709551616": "",
	} {
		target, err := history.ParseTarget(asked, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got, known, err := resolve(target)
		if !known || (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%s is %s (%v, %v), want %q", asked, got, known, err, want)
		}
	}
}
