package ha

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/backstaydb/backstay/internal/cli"
	"github.com/backstaydb/backstay/internal/process"
)

// asBackstay makes the test's own program the binary under test, in the processes that it starts.
const asBackstay = "BACKSTAY_TEST_RUNS_IT"

func TestMain(m *testing.M) {
	if os.Getenv(asBackstay) == "" {
		os.Exit(m.Run())
	}
	process.Modest()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
