package main

import (
	"context"
	"fmt"
	"time"

	"github.com/benbjohnson/litestream"
	"github.com/benbjohnson/litestream/file"
	_ "github.com/benbjohnson/litestream/s3" // registers s3:// replicas
)

// newReplica sets the replica up as the command's NewReplicaFromConfig does.
func newReplica(db *litestream.DB, url string) (*litestream.Replica, error) {
	client, err := litestream.NewReplicaClientFromURL(url)
	if err != nil {
		return nil, fmt.Errorf("open replica: %w", err)
	}
	r := litestream.NewReplicaWithClient(db, client)
	if c, ok := client.(*file.ReplicaClient); ok {
		c.Replica = r
	}
	client.SetLogger(r.Logger())
	return r, nil
}

// replicate runs until ctx ends, then syncs a last time and closes.
func replicate(ctx context.Context, path, url string, speed float64) error {
	faster := func(d time.Duration) time.Duration { return time.Duration(float64(d) / speed) }
	db := litestream.NewDB(path)
	db.MonitorInterval = faster(db.MonitorInterval)
	db.CheckpointInterval = faster(db.CheckpointInterval)
	r, err := newReplica(db, url)
	if err != nil {
		return err
	}
	r.SyncInterval = faster(r.SyncInterval)
	db.Replica = r

	var levels litestream.CompactionLevels
	for _, l := range litestream.DefaultCompactionLevels {
		levels = append(levels, &litestream.CompactionLevel{Level: l.Level, Interval: faster(l.Interval)})
	}
	s := litestream.NewStore([]*litestream.DB{db}, levels)
	s.SnapshotInterval = faster(s.SnapshotInterval)
	s.SnapshotRetention = faster(s.SnapshotRetention)
	s.L0RetentionCheckInterval = faster(s.L0RetentionCheckInterval)
	s.SetL0Retention(faster(s.L0Retention))
	if err := s.Open(ctx); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := s.Close(closing); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}
