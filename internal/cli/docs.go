package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

type docsOptions struct{ root *cobra.Command }

func (o *docsOptions) flags(cmd *cobra.Command) { o.root = cmd }

func (o *docsOptions) run(_ context.Context, _ *console, args []string) error {
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	for _, p := range reference(o.root.Root()) {
		if err := atomicfile.Write(filepath.Join(args[0], p.name), []byte(p.text), 0o644); err != nil {
			return fmt.Errorf("write reference: %w", err)
		}
	}
	return nil
}
