package postgres

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
)

// pages reads every relation from the disk and compares the checksums of its pages.
func (v *verification) pages(ctx context.Context) (string, error) {
	c := v.facts.control
	if c.DataChecksums == 0 {
		return "the cluster has none", nil
	}
	p := &pageReader{found: &findingError{}, size: int(c.BlockSize), perFile: c.SegmentBlocks, buf: make([]byte, 1<<20)}
	for _, folder := range []string{"global", "base", linksFolder} {
		if err := p.folder(ctx, v.facts.dir, folder); err != nil {
			return "", err
		}
	}
	return p.found.result("%d pages in %d files of relations have their checksums", p.pages, p.files)
}

type pageReader struct {
	found   *findingError
	size    int
	perFile uint32 // pages
	buf     []byte
	pages   int64
	files   int
}

// folder goes through one folder, and through the tablespaces that it links to.
func (p *pageReader) folder(ctx context.Context, dir, name string) error {
	entries, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	for _, e := range entries {
		sub := name + "/" + e.Name()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case e.IsDir() || e.Type() == fs.ModeSymlink && name == linksFolder:
			if err := p.folder(ctx, dir, sub); err != nil {
				return err
			}
		case datadir.HasChecksums(sub):
			if err := p.file(dir, sub); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pageReader) file(dir, name string) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // dropped meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	p.files++
	r, _ := datadir.RelationOf(name)
	block := r.Segment * p.perFile
	for at := int64(0); ; {
		n, err := f.ReadAt(p.buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		whole := n / p.size * p.size
		for i := 0; i < whole; i += p.size {
			if datadir.CheckPage(p.buf[i:i+p.size], block) == datadir.PageBad {
				p.found.add("page %d of %s", block, name)
			}
			block++
			p.pages++
		}
		at += int64(whole)
		if n < len(p.buf) {
			return nil
		}
	}
}
