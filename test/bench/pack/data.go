//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/directio"
)

const pageBytes = 8 << 10

// segmentBytes is the size of the large files: databases split their tables about so.
const segmentBytes = 1 << 30

// generate fills dir with about total bytes: large files of pages, one in a hundred bytes in small ones.
func generate(dir string, total int64) error {
	if err := os.MkdirAll(filepath.Join(dir, "small"), 0o700); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	small := total / 100
	for i := 0; small > 0; i++ {
		n := min(small, int64(rnd.IntN(12)+1)*pageBytes)
		if err := generateFile(filepath.Join(dir, "small", fmt.Sprint(i)), n, rnd); err != nil {
			return err
		}
		small -= n
	}
	large := total - total/100
	for i := 0; large > 0; i++ {
		n := min(large, segmentBytes)
		if err := generateFile(filepath.Join(dir, fmt.Sprintf("table.%d", i)), n, rnd); err != nil {
			return err
		}
		large -= n
	}
	return nil
}

func generateFile(path string, size int64, rnd *rand.Rand) error {
	w, err := directio.Create(path, 0o600)
	if err != nil {
		return err
	}
	page := make([]byte, pageBytes)
	for n := uint32(0); size > 0; n++ {
		fillPage(page, n, rnd)
		k := min(size, pageBytes)
		if _, err := w.Write(page[:k]); err != nil {
			return errors.Join(err, w.Close())
		}
		size -= k
	}
	return errors.Join(w.Sync(), w.Close())
}

var words = []string{"Berlin", "Amsterdam", "Kopenhagen", "Wien", "Lisboa", "pending", "shipped", "returned", "invoice", "standard", "express",
	"garden chair", "desk lamp", "walnut table", "cotton shirt", "blue", "anthracite", "oak", "NULL", "customer called twice", "leave at the door"}

// fillPage makes a heap page: a header, line pointers, free space, and rows from the end with rising keys, random
// numbers, times and words.
func fillPage(p []byte, n uint32, rnd *rand.Rand) {
	clear(p)
	binary.LittleEndian.PutUint64(p, uint64(n)*8192+rnd.Uint64N(8192))
	binary.LittleEndian.PutUint16(p[8:], uint16(rnd.Uint32()))
	pointers, top := 24, len(p)
	free := 200 + rnd.IntN(1200)
	key := uint64(n) * 80
	for top-pointers > free {
		var row []byte
		row = binary.LittleEndian.AppendUint32(row, 700_000+n/50)
		row = append(row, 0, 0, 0, 0, 2, 9, 24, 0)
		row = binary.LittleEndian.AppendUint64(row, key)
		row = binary.LittleEndian.AppendUint32(row, uint32(rnd.IntN(100_000)))
		row = binary.LittleEndian.AppendUint64(row, 845_000_000_000_000+key*37_000+rnd.Uint64N(30_000))
		row = binary.LittleEndian.AppendUint32(row, uint32(rnd.IntN(20_000)))
		for range 3 {
			row = append(row, words[rnd.IntN(len(words))]...)
			row = append(row, 0)
		}
		row = append(row, bytes.Repeat([]byte{0}, -len(row)&7)...)
		top -= len(row)
		copy(p[top:], row)
		binary.LittleEndian.PutUint16(p[pointers:], uint16(top))
		binary.LittleEndian.PutUint16(p[pointers+2:], uint16(len(row)<<1))
		pointers += 4
		key++
	}
}

// sameTree compares two folders byte by byte, past the page cache.
func sameTree(a, b string) error {
	x, y := directio.Block(4<<20), directio.Block(4<<20)
	return filepath.WalkDir(a, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(a, path)
		if err != nil {
			return err
		}
		return sameFile(path, filepath.Join(b, rel), x, y)
	})
}

func sameFile(a, b string, x, y []byte) error {
	f, err := directio.Open(a)
	if err != nil {
		return err
	}
	defer f.Close()
	g, err := directio.Open(b)
	if err != nil {
		return err
	}
	defer g.Close()
	for off := int64(0); ; off += int64(len(x)) {
		n, errA := f.ReadAt(x, off)
		m, errB := g.ReadAt(y, off)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return fmt.Errorf("%s was not restored: it differs after byte %d", a, off)
		}
		if errA == io.EOF && errB == io.EOF {
			return nil
		}
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
	}
}
