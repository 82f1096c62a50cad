package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/zstd"
)

// TestIndexIsCompared: an index that is not the one that was written is not used.
func TestIndexIsCompared(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s, sealed := sealSegment(t, id, specOf(logOf(3000, 4000), marksOf(3)))
	if err := readAllOf(t, sealed, s.Index, id); err != nil {
		t.Fatal(err)
	}
	// Another segment of the same size, sealed to the same identity: what one can make who only knows the recipient.
	other, forged := sealSegment(t, id, specOf(logOf(3000, 4000), marksOf(4)))
	if other.Index.SHA256 == s.Index.SHA256 {
		t.Fatal("two segments have indexes of the same digest")
	}
	ref := other.Index
	ref.SHA256 = s.Index.SHA256
	err = readAllOf(t, forged, ref, id)
	if bad := new(CorruptError); !errors.As(err, &bad) || bad.Want != s.Index.SHA256 || bad.Got != other.Index.SHA256 {
		t.Errorf("with the index of another: %v", err)
	}
}

// TestFramesAreCompared: a frame that is not the one that the index names is not decoded, whoever could encrypt it.
func TestFramesAreCompared(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	files := logOf(3<<20, 4000)
	s, sealed := sealSegment(t, id, specOf(files, marksOf(3)))
	r, err := OpenSegment(t.Context(), source("shop/log/1", sealed), s.Index, []age.Identity{id})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.index.digests) != len(r.index.frames)-1 || len(r.index.digests) < 3 {
		t.Fatalf("%d digests of %d frames", len(r.index.digests), len(r.index.frames)-1)
	}
	r.index.digests[1][7] ^= 1
	in, err := r.Open(t.Context(), r.Entries()[0])
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1000)
	if _, err := in.ReadAt(b, 0); err != nil || !bytes.Equal(b, files[0].data[:len(b)]) {
		t.Errorf("a good frame: %v", err)
	}
	_, err = in.ReadAt(b, logFrameBytes)
	if bad := new(CorruptError); !errors.As(err, &bad) || bad.Object != "shop/log/1" || !strings.Contains(bad.Detail, "frame") || bad.Want == bad.Got {
		t.Errorf("a frame with another digest: %v", err)
	}
	// It was fetched together with the one behind it, which is good.
	if _, err := in.ReadAt(b, 2*logFrameBytes); err != nil || !bytes.Equal(b, files[0].data[2*logFrameBytes:][:len(b)]) {
		t.Errorf("the frame behind it: %v", err)
	}
}

// TestOlderIndexIsRead: one without digests still says where everything is, but not where a digest is promised.
func TestOlderIndexIsRead(t *testing.T) {
	var w indexWriter
	for i, file := range logOf(500, 700) {
		w.add(&SegmentEntry{File: file.File, Size: file.Size}, int64(512+2048*i))
	}
	b := []byte{indexWithout, 1}
	b = binary.AppendUvarint(b, 6000)
	b = binary.AppendUvarint(b, 300)
	b = append(binary.AppendUvarint(b, 5000), 10, 2)
	b = append(b, w.entries...)
	x, err := parseIndex(b, 1<<20)
	if err != nil || x.digests != nil || x.count != 2 || x.marks != 5000 || x.nMarks != 10 {
		t.Fatalf("index %+v: %v", x, err)
	}

	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	seal, err := newSealer(&sealed, []age.Recipient{id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	stream := bytes.Repeat([]byte{7}, 300) // in place of the frame
	stream = zstd.NewEncoder().Encode(stream, b)
	_, err = seal.Write(stream)
	if err = errors.Join(err, seal.finish()); err != nil {
		t.Fatal(err)
	}
	ref := IndexRef{Offset: 300, Length: int64(len(stream) - 300)}
	if _, err := OpenSegment(t.Context(), source("s", sealed.Bytes()), ref, []age.Identity{id}); err != nil {
		t.Fatal(err)
	}
	ref.SHA256 = fmt.Sprintf("%x", sha256.Sum256(stream[300:]))
	_, err = OpenSegment(t.Context(), source("s", sealed.Bytes()), ref, []age.Identity{id})
	if bad := new(CorruptError); !errors.As(err, &bad) || !strings.Contains(bad.Detail, "no digests") {
		t.Errorf("opened: %v", err)
	}
}
