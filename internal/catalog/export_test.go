package catalog

import "context"

// Migrate applies further migrations after the ones of this version.
func (c *Catalog) Migrate(ctx context.Context, more ...string) error {
	return c.migrate(ctx, append(migrations[:len(migrations):len(migrations)], more...))
}

// Version is the newest version of the schema.
var Version = len(migrations)
