package pack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/zeebo/blake3"

	"github.com/backstaydb/backstay/internal/zstd"
)

// mapBytes is how much plain JSON one map has: about 16 GiB of files.
const mapBytes = 8 << 20

// baseSink takes packed blocks in order and writes packs, maps and the file list.
type baseSink struct {
	o    BaseOptions
	out  Output
	pack *object
	fmap *object
	list *lines // the sealed list, kept in memory, compressed

	hasher *blake3.Hasher // over the extents of the file that is passing: files come one after the other

	contents Contents
	done     int64 // plain bytes
}

func newBaseSink(out Output, o BaseOptions) *baseSink {
	return &baseSink{o: o, out: out, list: newLines(), hasher: newHasher(o.DigestKey[:])}
}

// take writes one block and notes where its extents lie.
func (s *baseSink) take(ctx context.Context, b *block) error {
	if s.pack == nil {
		var err error
		if s.pack, err = s.begin(ctx, packName(len(s.contents.Packs)+1)); err != nil {
			return err
		}
	}
	at := s.pack.plain
	if _, err := s.pack.Write(b.packed); err != nil {
		return fmt.Errorf("write %s: %w", s.pack.name, err)
	}
	if err := s.note(ctx, b, at); err != nil {
		return err
	}
	s.done += int64(b.plain)
	if s.o.Progress != nil {
		s.o.Progress(s.done)
	}
	if s.pack.size < s.o.PackBytes {
		return nil
	}
	return s.endPack(ctx)
}

// note adds the extents of b, whose first frame lies at at, to the map, and the files that it completes to the list.
func (s *baseSink) note(ctx context.Context, b *block, at int64) error {
	starts := make([]int64, len(b.stored))
	for i, n := range b.stored {
		starts[i] = at
		at += int64(n)
	}
	var r run
	for i := range b.extents {
		e := &b.extents[i]
		if len(r.Sizes) > 0 && (r.File != e.file.index || e.in > 0 || r.In > 0) {
			if err := s.addRun(ctx, &r); err != nil {
				return err
			}
			r = run{}
		}
		if len(r.Sizes) == 0 {
			r = run{File: e.file.index, Offset: e.offset, Pack: len(s.contents.Packs) + 1, At: starts[e.frame], In: e.in}
		}
		r.Stored = append(r.Stored, b.stored[e.frame])
		r.Sizes = append(r.Sizes, e.size)
		r.Digests = append(r.Digests, e.digest[:]...)
		if e.offset == 0 {
			s.hasher.Reset()
			e.file.Map = s.mapNumber()
		}
		s.hasher.Write(e.digest[:])
		if e.offset+int64(e.size) == e.file.Size {
			s.hasher.Sum(e.file.Digest[:0])
		}
	}
	if len(r.Sizes) > 0 {
		if err := s.addRun(ctx, &r); err != nil {
			return err
		}
	}
	if b.padded > 0 {
		b.extents[0].file.Padded += b.padded
	}
	return s.addFiles(b.files)
}

// mapNumber is the number of the map that the next run goes to.
func (s *baseSink) mapNumber() int { return len(s.contents.Maps) + 1 }

func (s *baseSink) addRun(ctx context.Context, r *run) error {
	if s.fmap == nil {
		var err error
		if s.fmap, err = s.begin(ctx, mapName(s.mapNumber())); err != nil {
			return err
		}
		s.fmap.lines = newLines()
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write map: %w", err)
	}
	s.fmap.lines.add(append(line, '\n'))
	return nil
}

func (s *baseSink) addFiles(files []*baseFile) error {
	for _, f := range files {
		s.contents.Padded += f.Padded
		line, err := f.line()
		if err != nil {
			return err
		}
		s.list.add(line)
	}
	s.contents.Files += len(files)
	return nil
}

func (s *baseSink) endPack(ctx context.Context) error {
	part, err := s.pack.commit(ctx)
	if err != nil {
		return err
	}
	s.pack = nil
	s.contents.Packs = append(s.contents.Packs, part)
	if s.fmap != nil && s.fmap.lines.plain >= mapBytes {
		return s.endMap(ctx)
	}
	return nil
}

func (s *baseSink) endMap(ctx context.Context) error {
	if _, err := s.fmap.Write(s.fmap.lines.packed()); err != nil {
		return fmt.Errorf("write %s: %w", s.fmap.name, err)
	}
	part, err := s.fmap.commit(ctx)
	if err != nil {
		return err
	}
	s.fmap = nil
	s.contents.Maps = append(s.contents.Maps, part)
	return nil
}

// finish ends the last pack and map and seals the list.
func (s *baseSink) finish(ctx context.Context) (Contents, error) {
	if s.pack != nil {
		if err := s.endPack(ctx); err != nil {
			return Contents{}, err
		}
	}
	if s.fmap != nil {
		if err := s.endMap(ctx); err != nil {
			return Contents{}, err
		}
	}
	first, err := json.Marshal(listLine{DigestKey: s.o.DigestKey[:], Files: s.contents.Files})
	if err != nil {
		return Contents{}, fmt.Errorf("seal file list: %w", err)
	}
	var sealed bytes.Buffer
	seal, err := newSealer(&sealed, s.o.Recipients)
	if err != nil {
		return Contents{}, err
	}
	for _, p := range [][]byte{zstd.NewEncoder().Encode(nil, append(first, '\n')), s.list.packed()} {
		if _, err := seal.Write(p); err != nil {
			return Contents{}, fmt.Errorf("seal file list: %w", err)
		}
	}
	if err := seal.finish(); err != nil {
		return Contents{}, fmt.Errorf("seal file list: %w", err)
	}
	s.contents.Sealed = sealed.Bytes()
	return s.contents, nil
}

// abort removes the objects in the making.
func (s *baseSink) abort() (err error) {
	for _, o := range []*object{s.pack, s.fmap} {
		if o == nil {
			continue
		}
		o.stop()
		if e := o.file.Abort(); e != nil && err == nil {
			err = fmt.Errorf("give up %s: %w", o.name, e)
		}
	}
	s.pack, s.fmap = nil, nil
	return err
}

func (s *baseSink) begin(ctx context.Context, name string) (*object, error) {
	return beginObject(ctx, s.out, name, s.o.Recipients)
}
