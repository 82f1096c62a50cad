package ha

import (
	"fmt"
	"os"
	"testing"

	"github.com/backstaydb/backstay/test/self"
)

func TestMain(m *testing.M) {
	self.Main()
	if os.Getenv(asEtcd) == "" {
		os.Exit(m.Run())
	}
	if err := runEtcd(self.Context(), os.Args[1], os.Args[2], os.Args[3:]...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
