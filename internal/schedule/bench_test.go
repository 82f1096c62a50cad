package schedule

import (
	"context"
	"sync"
	"testing"
	"time"
)

// BenchmarkDay is what the scheduler costs in a day of 2,000 sources with 52,000 runs, without what is run and saved.
// The share is of one core.
func BenchmarkDay(b *testing.B) {
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	c := Config{Jobs: manyJobs(b, 2000), Keep: &memory{}, Zone: time.UTC, Now: func() time.Time { return now }, Bounds: Bounds{All: 16}}
	r, err := New(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	runs := 0
	for b.Loop() {
		for end := now.AddDate(0, 0, 1); now.Before(end); {
			begun, wait := r.step()
			for _, run := range begun {
				r.done(run, Done, nil)
				runs++
			}
			if len(begun) == 0 {
				now = now.Add(wait)
				r.clock.wall = now // it is no jump
			}
		}
	}
	if want := 52000 * b.N; runs < want*9/10 || runs > want*11/10 {
		b.Fatalf("%d runs, want %d", runs, want)
	}
	b.ReportMetric(float64(runs)/float64(b.N), "runs/op")
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N)/86400, "%core")
}

// BenchmarkBurst is 2,000 runs that are all due at one moment, until the last of them began.
func BenchmarkBurst(b *testing.B) {
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	jobs := manyJobs(b, 2000)
	var begun sync.WaitGroup
	c := Config{Jobs: jobs, Keep: &memory{states: map[ID]State{}}, Zone: time.UTC, Now: func() time.Time { return now }, Bounds: Bounds{All: len(jobs)}}
	c.Do = func(context.Context, Task) error { begun.Done(); return nil }
	r, err := New(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		now = now.AddDate(0, 0, 1)
		r.clock.wall = now // it is no jump
		runs, _ := r.step()
		if len(runs) != 2000 { // one of a source
			b.Fatalf("%d began", len(runs))
		}
		begun.Add(len(runs))
		var ended sync.WaitGroup
		for _, run := range runs {
			ended.Go(func() { r.carry(context.Background(), run) })
		}
		begun.Wait()
		b.StopTimer()
		ended.Wait()
		b.StartTimer()
	}
}

// BenchmarkDue is one plan of 6,000 jobs.
func BenchmarkDue(b *testing.B) {
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	jobs := manyJobs(b, 2000)
	for b.Loop() {
		if d := Due(jobs, nil, now); len(d) != len(jobs) {
			b.Fatal("too few decisions")
		}
	}
}
