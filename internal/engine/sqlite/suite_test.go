package sqlite

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

func TestSuiteWAL(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Harness{
		Engine: Engine{}, Late: 50 * time.Millisecond, Settle: 2 * time.Second, Each: true,
		Start: func(t *testing.T) enginetest.App { return startApp(t, "wal") },
	})
}

func TestSuiteRollback(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"delete", "truncate", "persist"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if !soak && mode != "delete" {
				t.Skip("the other rollback modes go through the suite with BACKSTAY_SOAK, and through TestPythonRollback always")
			}
			enginetest.Run(t, enginetest.Harness{
				Engine: Engine{}, Late: 2 * time.Second, Settle: 3 * time.Second,
				Start: func(t *testing.T) enginetest.App { return startApp(t, mode) },
			})
		})
	}
}
