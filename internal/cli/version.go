package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/zstd"
)

type versionOptions struct{ listing }

func (o *versionOptions) flags(cmd *cobra.Command) { o.listing.flags(cmd) }

// buildInfo is what `version` prints.
type buildInfo struct {
	Version string `json:"version" doc:"of backstay"`
	Go      string `json:"go" doc:"the toolchain that built it"`
	System  string `json:"system" doc:"operating system and processor"`
	Codec   string `json:"codec" doc:"which zstd codec was linked"`
	Format  int    `json:"format" doc:"of repositories written; 0 is not yet promised to be read for ever"`
}

func (o *versionOptions) run(_ context.Context, c *console, _ []string) error {
	info := buildInfo{Version: version(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Codec: codec(), Format: 0}
	if o.json {
		return c.json(info)
	}
	c.printf("backstay %s (%s, %s, zstd by %s, repository format %d)\n", info.Version, info.Go, info.System, info.Codec, info.Format)
	return nil
}

// version is the module's version, or the commit of a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return fmt.Sprintf("devel %.12s", s.Value)
		}
	}
	return "devel"
}

func codec() string {
	if zstd.Native {
		return "libzstd"
	}
	return "pure Go"
}
