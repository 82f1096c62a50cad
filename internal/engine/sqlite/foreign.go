package sqlite

import (
	"context"
	"maps"
	"time"
)

// In WAL mode only checkpoints write the database file, and they say so in the wal-index before and after. Whoever else writes
// it, such as cp over it, pulls the ground from under the application and from under the log.

// ground is what shows, without reading the database, that its file was written, and how far checkpoints have come.
type ground struct {
	salt      salt
	attempted uint32
	backfill  uint32
	size      int64
	time      time.Time
}

// settled reports whether no checkpoint was at work or had broken off.
func (g ground) settled() bool { return g.attempted == g.backfill && !g.time.IsZero() }

// written reports whether the file was written since before although no checkpoint could have.
func (g ground) written(before ground) bool {
	return before.settled() && before != g && before.salt == g.salt && before.attempted == g.attempted && before.backfill == g.backfill
}

// ground looks; it gives zero while a checkpoint is at work.
func (s *Source) ground() (ground, error) {
	before, err := s.checkpointed()
	if err != nil {
		return ground{}, err
	}
	info, err := s.files.db.Stat()
	if err != nil {
		return ground{}, err
	}
	after, err := s.checkpointed()
	if err != nil || after != before {
		return ground{}, err
	}
	after.size, after.time = info.Size(), info.ModTime()
	return after, nil
}

func (s *Source) checkpointed() (ground, error) {
	x, err := readWALIndex(s.files.shm)
	if err != nil {
		return ground{}, err
	}
	attempted, err := readAttempted(s.files.shm)
	return ground{salt: x.salt, attempted: attempted, backfill: x.backfill}, err
}

// suspectEvery is how often the whole database is read, at most, because its file has a new time of its last write.
const suspectEvery = 5 * time.Second

// undisturbed returns a gap if somebody wrote the database file behind SQLite's back. A new time or size of the file only raises
// the suspicion; the checksum of all pages decides.
func (s *Source) undisturbed(ctx context.Context) error {
	g, err := s.ground()
	if err != nil {
		return err
	}
	s.suspect = s.suspect || g.written(s.stood)
	s.stood = g
	if !s.suspect || !g.settled() || time.Now().Before(s.suspectAt) {
		return nil
	}
	s.suspect, s.suspectAt = false, time.Now().Add(suspectEvery)
	s.count(func(n *Counters) { n.Scans++ })
	above := s.index.clone() // what was copied must be in the file, as the WAL may begin anew
	maps.DeleteFunc(above, func(_ uint32, v version) bool { return v.frame <= g.backfill })
	snap := newSnapshot(s.files, s.files.wal, s.head, above)
	sum, err := snap.finish(ctx)
	if err != nil {
		return err
	}
	if sum != s.head.sum {
		return s.gap(s.head.position, "somebody wrote the database file behind SQLite's back, as by copying another one over it")
	}
	return nil
}
