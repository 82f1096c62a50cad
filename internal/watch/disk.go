package watch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/policy"
)

// How the disk under a repository is remembered: seldom, for some days, and no forecast is made from less than one.
const (
	freeEvery = 6 * time.Hour
	freeFor   = 7 * 24 * time.Hour
	freeLeast = 24 * time.Hour
)

// freeAt is how much room there was at a time.
type freeAt struct {
	Time time.Time `json:"time"`
	Free int64     `json:"free"`
}

// room asks how much room the disk under a repository has. Several sources may share a repository, and one of them tells.
func (w *Watch) room(ctx context.Context, s *watched, name string) {
	if w.tells(name) != s.Name {
		return
	}
	free, known := w.c.Eyes.Free(ctx, s.Name, name)
	if !known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := w.c.Now()
	if s.Free == nil {
		s.Free = map[string][]freeAt{}
	}
	samples := slices.DeleteFunc(s.Free[name], func(f freeAt) bool { return now.Sub(f.Time) > freeFor })
	if n := len(samples); n == 0 || now.Sub(samples[n-1].Time) >= freeEvery {
		samples = append(samples, freeAt{now.UTC(), free})
	}
	s.Free[name] = samples
	s.disks[name] = diskOf(samples, freeAt{now, free})
}

// tells is the first of the sources that share a repository.
func (w *Watch) tells(repository string) (first string) {
	for _, s := range w.all() {
		if slices.Contains(s.Everywhere(), repository) && (first == "" || strings.Compare(s.Name, first) < 0) {
			first = s.Name
		}
	}
	return first
}

// diskOf says how a disk fills, over all that is remembered.
func diskOf(samples []freeAt, now freeAt) policy.Disk {
	d := policy.Disk{Free: now.Free}
	if took := now.Time.Sub(samples[0].Time); took >= freeLeast {
		d.Rate = max(0, float64(samples[0].Free-now.Free)/took.Seconds())
	}
	return d
}
