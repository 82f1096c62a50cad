package policy

import (
	"fmt"
	"time"
)

const (
	diskSoon   = 7 * 24 * time.Hour // until it is full
	diskCrisis = 24 * time.Hour     // until it is full
	diskLeast  = 256 << 20          // bytes free; below it nobody knows what fails first
	diskRest   = time.Hour          // a drop makes room, and a base takes it again
)

// disks looks whether the disk under a repository fills up: it is told before it is full, by how it filled over the last days.
func (j *judge) disks() {
	for _, r := range j.f.Repositories {
		if r.Disk.Free <= 0 && r.Disk.Rate == 0 {
			continue // nobody knows
		}
		full := r.Disk.fullIn()
		b := breach{Finding: Finding{Objective: Spool, Repository: r.Name, Part: "disk", Severity: Warning, Since: j.now,
			Do: "make room, move the repository to a larger disk, or keep less: backstay retention " + j.f.Source + " --dry-run shows what is kept and why"},
			patience: leastPatience, rest: diskRest}
		grows := fmt.Sprintf("%s free, and %s less a day", size(r.Disk.Free), size(int64(r.Disk.Rate*diskCrisis.Seconds())))
		switch {
		case r.Disk.Free < diskLeast:
			b.Severity = Critical
			b.Reason = fmt.Sprintf("the disk of %s has %s free (limit %s)", r.Name, size(r.Disk.Free), size(diskLeast))
		case full > 0 && full <= diskCrisis:
			b.Severity = Critical
			b.Reason = fmt.Sprintf("the disk of %s is full in %s (limit %s): %s", r.Name, span(full), span(diskCrisis), grows)
		case full > 0 && full <= diskSoon:
			b.Reason = fmt.Sprintf("the disk of %s is full in %s (limit %s): %s", r.Name, span(full), span(diskSoon), grows)
		default:
			continue
		}
		j.add(b)
	}
}

// fullIn is how long it takes until there is no room; zero: it does not fill, or nobody knows.
func (d Disk) fullIn() time.Duration {
	return Room{Limit: d.Free, Rate: d.Rate}.fullIn()
}
