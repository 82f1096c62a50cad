package pack

import (
	"context"
	"fmt"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/zstd"
)

// object is a sealed object on its way to the output.
type object struct {
	*sealer
	name  string
	file  store.File
	lines *lines // of a map
}

func beginObject(ctx context.Context, out Output, name string, recipients []age.Recipient) (*object, error) {
	file, err := out.Next(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", name, err)
	}
	seal, err := newSealer(file, recipients)
	if err != nil {
		_ = file.Abort()
		return nil, err
	}
	return &object{sealer: seal, name: name, file: file}, nil
}

func (o *object) commit(ctx context.Context) (Part, error) {
	if err := o.sealer.finish(); err != nil {
		return Part{}, fmt.Errorf("write %s: %w", o.name, err)
	}
	if err := o.file.Commit(ctx); err != nil {
		return Part{}, fmt.Errorf("commit %s: %w", o.name, err)
	}
	return Part{Name: o.name, Size: o.size, SHA256: o.digest()}, nil
}

// lines collects text and compresses it a frame at a time.
type lines struct {
	plain   int
	buf     []byte
	out     []byte
	encoder *zstd.Encoder
}

func newLines() *lines { return &lines{encoder: zstd.NewEncoder()} }

func (l *lines) add(line []byte) {
	l.plain += len(line)
	l.buf = append(l.buf, line...)
	if len(l.buf) >= logFrameBytes {
		l.pack()
	}
}

func (l *lines) pack() {
	l.out = l.encoder.Encode(l.out, l.buf)
	l.buf = l.buf[:0]
}

// packed gives all frames.
func (l *lines) packed() []byte {
	l.pack()
	return l.out
}
