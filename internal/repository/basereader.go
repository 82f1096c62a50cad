package repository

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

// maxMap is the largest map that is read, in bytes; writers end one at half of that.
const maxMap = 32 << 20

// ExtractOptions say what of a base is laid and how; ExtractStats what was laid.
type (
	ExtractOptions = pack.ExtractOptions
	ExtractStats   = pack.ExtractStats
)

// BaseReader reads one base. The manifest and the maps were compared with the ledger before they are used, and every
// extent is compared with its keyed digest in the maps. It is safe for concurrent use.
type BaseReader struct {
	*pack.BaseReader
	m *manifest
}

// OpenBase opens a base that the ledger lists.
func (r *Repository) OpenBase(ctx context.Context, id string) (*BaseReader, error) {
	keys := r.ring()
	if keys.secret == nil {
		return nil, &NoKeyError{Source: r.source, Need: "open base " + id}
	}
	m, err := r.manifestOf(ctx, id)
	if err != nil {
		return nil, err
	}
	parts := &baseParts{r: r, folder: baseFolder(id), maps: map[string]Object{}}
	for _, p := range m.Maps {
		parts.maps[p.Name] = Object{Name: parts.folder + p.Name, Size: p.Size, SHA256: p.SHA256}
	}
	b, err := pack.OpenBase(ctx, m.Contents, parts.open, keys.secret.ageIdentities())
	if err != nil {
		return nil, fmt.Errorf("open base %s of %s: %w", id, r.source, err)
	}
	return &BaseReader{b, m}, nil
}

// Base describes it.
func (b *BaseReader) Base() history.Base { return b.m.Base }

// Close releases what the reader holds.
func (b *BaseReader) Close() error { return nil }

// baseParts reads the objects of a base. Maps are small and say where everything lies, so that each is read as a
// whole and compared first: one of another base of this source would decrypt too.
type baseParts struct {
	r      *Repository
	folder string
	maps   map[string]Object

	mu   sync.Mutex
	last string // the map that is held
	data []byte
}

func (p *baseParts) open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if !strings.HasPrefix(name, "map-") {
		body, err := p.r.store.Open(ctx, p.r.object(p.folder+name), offset, length)
		if err != nil {
			return nil, missing(p.r.object(p.folder+name), err)
		}
		return body, nil
	}
	data, err := p.mapData(ctx, name)
	if err != nil {
		return nil, err
	}
	data = data[min(offset, int64(len(data))):]
	if length >= 0 {
		data = data[:min(length, int64(len(data)))]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (p *baseParts) mapData(ctx context.Context, name string) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == name {
		return p.data, nil
	}
	o, ok := p.maps[name]
	if !ok || o.Size > maxMap {
		return nil, &CorruptError{Object: p.r.object(p.folder + name), Detail: fmt.Sprintf("no map can have %d bytes", o.Size)}
	}
	data, err := p.r.readListed(ctx, o)
	if err == nil {
		p.last, p.data = name, data
	}
	return data, err
}
