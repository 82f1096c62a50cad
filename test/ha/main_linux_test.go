package ha

import (
	"context"
	"fmt"
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
	if os.Getenv(asBackstay) == "" && os.Getenv(asEtcd) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if os.Getenv(asEtcd) != "" {
		if err := runEtcd(ctx, os.Args[1], os.Args[2], os.Args[3:]...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	process.Modest()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
