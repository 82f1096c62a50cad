package pack

import (
	"context"
	"fmt"
	"io"

	"github.com/backstaydb/backstay/internal/store"
)

// Part is one stored object of a base.
type Part struct {
	Name   string `json:"name"` // "pack-00001", "map-00001"
	Size   int64  `json:"size"` // bytes as stored
	SHA256 string `json:"sha256"`
}

// Output is where a BaseWriter puts its objects. It is called from one goroutine at a time.
type Output interface {
	// Next starts the object called name: "pack-00001", "map-00001" and so on. The writer commits or aborts it.
	Next(ctx context.Context, name string) (store.File, error)
}

// Open reads length bytes from offset of the object called name; length -1 means to the end. Reading beyond the end
// gives fewer bytes. It is called from several goroutines.
type Open func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

// Source is one object to read from.
type Source struct {
	Name string // for errors
	Size int64  // bytes as stored
	Open func(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

func packName(n int) string { return fmt.Sprintf("pack-%05d", n) }

func mapName(n int) string { return fmt.Sprintf("map-%05d", n) }
