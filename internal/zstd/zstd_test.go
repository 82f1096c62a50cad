package zstd

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"testing"
)

// samples are bytes of several natures: pages, text, noise, sizes at the edges.
func samples() map[string][]byte {
	r := rand.New(rand.NewSource(1))
	noise := make([]byte, 128<<10)
	r.Read(noise)
	pages := make([]byte, 128<<10)
	for i := 0; i < len(pages); i += 64 {
		copy(pages[i:], []byte("order 0000 customer"))
		pages[i+40] = byte(r.Intn(256))
	}
	return map[string][]byte{
		"one byte": {7}, "noise": noise, "pages": pages, "zeros": make([]byte, 1<<20), "odd": pages[:100_001],
	}
}

func TestCodecsReadEachOther(t *testing.T) {
	encoders := map[string]encoder{"pure": newPureEncoder(), "linked": newEncoder()}
	decoders := map[string]decoder{"pure": newPureDecoder(), "linked": newDecoder()}
	for name, data := range samples() {
		for en, e := range encoders {
			packed := (&Encoder{e}).Encode([]byte("front"), data)
			if !bytes.HasPrefix(packed, []byte("front")) {
				t.Fatalf("%s: %s: Encode did not append", name, en)
			}
			packed = packed[5:]
			if len(packed) > Bound(len(data)) {
				t.Errorf("%s: %s: frame of %d bytes, Bound says %d", name, en, len(packed), Bound(len(data)))
			}
			for dn, d := range decoders {
				got, err := (&Decoder{d}).Decode([]byte("front"), packed, len(data))
				if err != nil || !bytes.Equal(got[5:], data) {
					t.Errorf("%s: made by %s, read by %s: %d bytes, %v", name, en, dn, len(got), err)
				}
			}
		}
	}
}

func TestDecodeWritesOnlyItsRegion(t *testing.T) {
	data := samples()["pages"]
	packed := NewEncoder().Encode(nil, data)
	buf := bytes.Repeat([]byte{0xAA}, 3*len(data))
	out, err := NewDecoder().Decode(buf[:0:len(buf)], packed, len(data))
	if err != nil {
		t.Fatal(err)
	}
	if &out[0] != &buf[0] {
		t.Error("Decode allocated although there was room")
	}
	if cap(out) != cap(buf) {
		t.Errorf("Decode left room for %d bytes of %d", cap(out), cap(buf))
	}
	for i := len(data); i < len(buf); i++ {
		if buf[i] != 0xAA {
			t.Fatalf("byte %d beyond the frame was written", i)
		}
	}
}

func TestDecodeRefusesLargerFrames(t *testing.T) {
	packed := NewEncoder().Encode(nil, make([]byte, 1000))
	if _, err := NewDecoder().Decode(nil, packed, 999); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestReaderReadsFramesAsOneStream(t *testing.T) {
	var packed, want []byte
	for _, data := range samples() {
		packed = NewEncoder().Encode(packed, data)
		want = append(want, data...)
	}
	r, err := NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes of %d: %v", len(got), len(want), err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range samples() {
		f.Add(NewEncoder().Encode(nil, data[:min(len(data), 4096)]))
	}
	two := NewEncoder().Encode(NewEncoder().Encode(nil, []byte("first")), make([]byte, 5000))
	f.Add(two)
	f.Fuzz(func(t *testing.T, src []byte) {
		const limit = 1 << 16
		linked, errLinked := NewDecoder().Decode(nil, src, limit)
		pure, errPure := (&Decoder{newPureDecoder()}).Decode(nil, src, limit)
		if len(linked) > limit || len(pure) > limit {
			t.Fatalf("decoded %d and %d bytes, limit %d", len(linked), len(pure), limit)
		}
		if errLinked == nil && errPure == nil && !bytes.Equal(linked, pure) {
			t.Fatal("the two codecs read different bytes")
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	data := samples()["pages"]
	e := NewEncoder()
	var dst []byte
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		dst = e.Encode(dst[:0], data)
	}
}

func BenchmarkDecode(b *testing.B) {
	data := samples()["pages"]
	packed := NewEncoder().Encode(nil, data)
	d := NewDecoder()
	var dst []byte
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		dst, _ = d.Decode(dst[:0], packed, len(data))
	}
}
