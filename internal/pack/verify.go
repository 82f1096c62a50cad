package pack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/process"
)

// Damage is one thing found wrong in a base, and which data it concerns.
type Damage struct {
	Object string `json:"object"` // "pack-00001"
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset"` // of the lost bytes in File
	Length int64  `json:"length"`
	Detail string `json:"detail"`
	Want   string `json:"want,omitempty"`
	Got    string `json:"got,omitempty"`
}

// VerifyReport is what Verify read and found.
type VerifyReport struct {
	Files  int      // regular files
	Bytes  int64    // of them, read and compared or found damaged
	Damage []Damage // nil if all is well
}

// verifyWorkers is how many requests run at once.
const verifyWorkers = 4

// Verify decrypts every extent of every file and compares its digest, and that the maps name every byte of every
// file. It goes on after damage: the report has an entry for each extent that is lost. The error is for a store that
// fails and for a wrong key, not for damage. progress is told bytes of files and may be nil.
func (r *BaseReader) Verify(ctx context.Context, progress func(done, total int64)) (VerifyReport, error) {
	v := &verification{r: r, progress: progress, covered: make([]int64, len(r.files))}
	for _, f := range r.files {
		if f.Mode.IsRegular() {
			v.report.Files++
			v.report.Bytes += f.Size
		}
	}
	if err := v.run(ctx); err != nil {
		return VerifyReport{}, err
	}
	for i, f := range r.files {
		if f.Mode.IsRegular() && v.covered[i] != f.Size {
			v.add(Damage{Object: r.mapOf(f), File: f.Name, Length: f.Size, Detail: "the maps do not name all of it",
				Want: fmt.Sprint(f.Size), Got: fmt.Sprint(v.covered[i])})
		}
	}
	slices.SortFunc(v.report.Damage, compareDamage)
	return v.report, nil
}

// mapOf names the object that says where f lies.
func (r *BaseReader) mapOf(f *baseFile) string {
	if f.Map == 0 {
		return sealedName
	}
	return r.contents.Maps[f.Map-1].Name
}

type verification struct {
	r        *BaseReader
	progress func(done, total int64)

	mu      sync.Mutex
	report  VerifyReport
	covered []int64 // bytes of each file that the maps name
	done    int64
}

func (v *verification) add(d Damage) {
	v.mu.Lock()
	v.report.Damage = append(v.report.Damage, d)
	v.mu.Unlock()
}

func (v *verification) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan *job, verifyWorkers)
	g.Go(func() error {
		defer close(jobs)
		return v.feed(ctx, jobs)
	})
	for range verifyWorkers {
		g.Go(func() error {
			process.YieldFor(ctx)
			frames := newFrameReader(v.r.key[:])
			buf := make([]byte, 0, frameBytes)
			for j := range jobs {
				if err := v.check(ctx, j, frames, buf); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// feed reads the maps one by one: a damaged one loses its files, not those of the others.
func (v *verification) feed(ctx context.Context, jobs chan<- *job) error {
	for _, part := range v.r.contents.Maps {
		for j, err := range v.r.jobs(ctx, []Part{part}, func(*baseFile) bool { return true }) {
			if err != nil {
				d, damaged := damageOf(err, part.Name)
				if !damaged {
					return err
				}
				v.add(d)
				break
			}
			for _, run := range j.runs {
				v.covered[run.File] += run.size()
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// check reads a job with one request; where that shows damage it reads each extent alone, to tell which are lost.
func (v *verification) check(ctx context.Context, j *job, frames *frameReader, buf []byte) error {
	size := int64(0)
	for _, run := range j.runs {
		size += run.size()
	}
	err := v.readRuns(ctx, j, j.runs, frames, buf)
	if _, damaged := damageOf(err, ""); damaged {
		err = v.locate(ctx, j, frames, buf)
	}
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done += size
	if v.progress != nil {
		v.progress(v.done, v.report.Bytes)
	}
	return nil
}

func (v *verification) readRuns(ctx context.Context, j *job, runs []*run, frames *frameReader, buf []byte) error {
	u, err := v.r.pack(ctx, j.pack)
	if err != nil {
		return err
	}
	if err := frames.begin(ctx, u, j); err != nil {
		return err
	}
	defer frames.end()
	for _, run := range runs {
		at := run.At
		for i, stored := range run.Stored {
			if _, err := frames.extent(buf[:0], v.r.files[run.File], run, i, at); err != nil {
				return err
			}
			at += int64(stored)
		}
	}
	return nil
}

// locate reads every extent of a damaged job with a request of its own.
func (v *verification) locate(ctx context.Context, j *job, frames *frameReader, buf []byte) error {
	for _, whole := range j.runs {
		at, off := whole.At, whole.Offset
		for i, stored := range whole.Stored {
			one := &run{File: whole.File, Offset: off, Pack: whole.Pack, At: at, In: whole.In,
				Stored: whole.Stored[i : i+1], Sizes: whole.Sizes[i : i+1], Digests: whole.digest(i)}
			err := v.readRuns(ctx, &job{pack: j.pack, at: at, length: int64(stored)}, []*run{one}, frames, buf)
			if d, damaged := damageOf(err, packName(j.pack)); damaged {
				d.File, d.Offset, d.Length = v.r.files[whole.File].Name, off, int64(whole.Sizes[i])
				v.add(d)
			} else if err != nil {
				return err
			}
			at += int64(stored)
			off += int64(whole.Sizes[i])
		}
	}
	return nil
}

// damageOf tells damage from a store that fails. A missing object, and one sealed to another key, are damage too:
// the key was proved right by the sealed list.
func damageOf(err error, object string) (Damage, bool) {
	var bad *CorruptError
	var key *age.NoIdentityMatchError
	switch {
	case errors.As(err, &bad):
		detail := bad.Detail
		if bad.Err != nil {
			detail += ": " + bad.Err.Error()
		}
		return Damage{Object: bad.Object, Detail: detail, Want: bad.Want, Got: bad.Got}, true
	case errors.Is(err, fs.ErrNotExist):
		return Damage{Object: object, Detail: "it is missing"}, true
	case errors.As(err, &key):
		return Damage{Object: object, Detail: "it was sealed to another key"}, true
	}
	return Damage{}, false
}

func compareDamage(a, b Damage) int {
	return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset))
}
