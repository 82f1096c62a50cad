package sqlite

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

func TestSuiteWAL(t *testing.T) {
	enginetest.Run(t, enginetest.Harness{
		Engine: Engine{}, Late: 50 * time.Millisecond, Settle: 2 * time.Second, Each: true,
		Start: func(t *testing.T) enginetest.App { return startApp(t, "wal") },
	})
}

func TestSuiteRollback(t *testing.T) {
	for _, mode := range []string{"delete", "truncate", "persist"} {
		t.Run(mode, func(t *testing.T) {
			if testing.Short() && mode != "delete" {
				t.Skip("one rollback mode is enough for a short run")
			}
			enginetest.Run(t, enginetest.Harness{
				Engine: Engine{}, Late: 2 * time.Second, Settle: 3 * time.Second,
				Start: func(t *testing.T) enginetest.App { return startApp(t, mode) },
			})
		})
	}
}
