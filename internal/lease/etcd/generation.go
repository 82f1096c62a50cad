package etcd

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// etcd counts revisions, and one that goes on from an older copy counts some of them a second time: to a process that read before, another
// document would look like the one that it read, and be swapped for what follows from that. So a revision here has a generation before etcd's
// count. Whoever brings etcd back from a copy begins the next one; what was read under another is stale, and older.
const (
	generationKey = "generation"
	counted       = 40 // bits of etcd's count: three changes a second for ten thousand years
)

// epoch of generations, which are numbered by minutes: that of a copy, which knows nothing of those after it, is still the newest.
var firstGeneration = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func revision(generation uint64, count int64) uint64 { return generation<<counted | uint64(count) }

func split(revision uint64) (generation uint64, count int64) {
	return revision >> counted, int64(revision & (1<<counted - 1))
}

func generationOf(r *etcdserverpb.ResponseOp) uint64 {
	kvs := r.GetResponseRange().Kvs
	if len(kvs) == 0 {
		return 0
	}
	n, _ := strconv.ParseUint(string(kvs[0].Value), 10, 64) // we wrote it
	return n
}

// still are the conditions under which a document is as it was at a revision.
func (s *Store) still(name string, from uint64) []clientv3.Cmp {
	generation, count := split(from)
	conditions := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(name), "=", count)}
	switch key := s.cfg.Prefix + generationKey; {
	case from == 0: // it never was there, in no generation
	case generation == 0:
		conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
	default:
		conditions = append(conditions, clientv3.Compare(clientv3.Value(key), "=", strconv.FormatUint(generation, 10)))
	}
	return conditions
}

// NextGeneration has all revisions from now on be newer than those that anybody read before, and swaps from those fail. It is for an etcd that was brought back
// from a copy, before others use it.
func (s *Store) NextGeneration(ctx context.Context, now time.Time) error {
	key := s.cfg.Prefix + generationKey
	err := s.each(ctx, func(ctx context.Context, c *clientv3.Client) (bool, error) {
		got, err := c.Get(ctx, key)
		if err != nil {
			return false, err
		}
		next, count := uint64(max(now.Sub(firstGeneration)/time.Minute, 1)), int64(0)
		if len(got.Kvs) > 0 {
			last, err := strconv.ParseUint(string(got.Kvs[0].Value), 10, 64)
			if err != nil {
				return true, err
			}
			next, count = max(next, last+1), got.Kvs[0].ModRevision
		}
		done, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", count)).Then(clientv3.OpPut(key, strconv.FormatUint(next, 10))).Commit()
		if err == nil && !done.Succeeded {
			err = fmt.Errorf("somebody else began one")
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("begin a generation of revisions: %w", err)
	}
	return nil
}
