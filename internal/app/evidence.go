package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/drill"
)

// Evidence writes a page for each drill report of a source into dir, and returns their paths, the newest first. Pages that are there
// are made again: the same report makes the same page.
func (h *Host) Evidence(ctx context.Context, source, dir string) ([]string, error) {
	reports, err := h.Drills(ctx, source)
	if err != nil {
		return nil, err
	}
	trusted, err := h.trusted(source)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for pages: %w", err)
	}
	var paths []string
	for _, r := range reports {
		page, err := pageOf(r, trusted)
		if err != nil {
			return paths, err
		}
		path := filepath.Join(dir, fmt.Sprintf("%s-%s-%s.html", r.Source, r.ID(), r.Verdict))
		if err := atomicfile.Write(path, page, 0o644); err != nil {
			return paths, fmt.Errorf("write page: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// pageOf finds the key that signed a report.
func pageOf(r drill.Report, verifiers []string) (page []byte, err error) {
	err = fmt.Errorf("make page of report %s: no key is pinned", r.ID())
	for _, v := range verifiers {
		if page, err = drill.Page(r.Signed, v); err == nil {
			return page, nil
		}
	}
	return nil, err
}
