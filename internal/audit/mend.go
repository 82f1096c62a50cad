package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// Mend is CopyTo that also reads all that the copy holds, and replaces what is damaged there. What might be a trace of entries that are
// missing here is never touched: a checkpoint of another past, or one that cannot be read and whose number was not reached here, ends it
// with a ledger.RollbackError.
func (l *Log) Mend(ctx context.Context, to store.Store) (Copied, error) {
	c := &copier{l: l, to: to, mends: true}
	if err := c.run(ctx); err != nil {
		return c.done, fmt.Errorf("mend the copy of audit log %s in %s: %w", l.c.Name, to, err)
	}
	return c.done, nil
}

// mend takes away from the copy of a volume what is not what stands here, and leaves it to be copied again. there is changed with it.
func (c *copier) mend(ctx context.Context, n int, there contents) error {
	v, err := c.source(n)
	if err != nil {
		return err
	}
	head, err := v.log.Head(ctx) // what is here is verified first
	if err != nil {
		return err
	}
	var damaged []string
	for _, rest := range slices.Sorted(maps.Keys(there)) {
		bad, err := c.damaged(ctx, v, head, rest)
		if err != nil {
			return err
		}
		if bad {
			damaged = append(damaged, rest)
		}
	}
	for _, rest := range damaged { // none before all were looked at
		if err := c.to.Delete(ctx, prefix(c.l.c.Name, n)+"/"+rest); err != nil {
			return err
		}
		delete(there, rest)
	}
	return nil
}

// damaged reports whether an object of the copy must be replaced.
func (c *copier) damaged(ctx context.Context, v *volume, head ledger.Checkpoint, rest string) (bool, error) {
	name := prefix(c.l.c.Name, v.number) + "/" + rest
	equal, err := sameObject(ctx, c.l.c.Store, c.to, name) // an object that is only there is equal too
	if err != nil {
		return false, err
	}
	digits, ok := strings.CutPrefix(rest, "checkpoint/")
	if !ok {
		return !equal, nil
	}
	var number uint64
	if _, err := fmt.Sscanf(digits, "%012d", &number); err != nil {
		return false, nil // none of the log's: Verify names it
	}
	object, err := store.ReadAll(ctx, c.to, name, maxObject)
	if err != nil {
		return false, err
	}
	claims, err := v.log.Parse(object, number)
	if err == nil {
		_, _, err = v.log.Extends(ctx, claims.Seen())
		return !equal || number < head.Number, err // an older one is needless, and its leaves may be damaged
	}
	if number > head.Number {
		return false, &ledger.RollbackError{Log: folder + "/" + c.l.c.Name, Seen: head.Seen(),
			Detail: fmt.Sprintf("the copy has checkpoint %d of volume %06d, which cannot be read, and %d is the newest here", number, v.number, head.Number)}
	}
	return true, nil
}
