package member

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// list is what a server answers to pg_rewind's question for files, and after that to another one with paths.
func list(t testing.TB, names ...string) []byte {
	t.Helper()
	var out []byte
	columns := func(names ...string) {
		m := &pgproto3.RowDescription{}
		for _, n := range names {
			m.Fields = append(m.Fields, pgproto3.FieldDescription{Name: []byte(n)})
		}
		b, err := m.Encode(out)
		if err != nil {
			t.Fatal(err)
		}
		out = b
	}
	rows := func() {
		for _, n := range names {
			b, err := (&pgproto3.DataRow{Values: [][]byte{[]byte(n), []byte("16777216"), []byte("f"), nil}}).Encode(out)
			if err != nil {
				t.Fatal(err)
			}
			out = b
		}
	}
	columns("?column?", "size", "isdir", "link_target")
	rows()
	columns("?column?", "begin", "chunk")
	rows()
	return out
}

func paths(t testing.TB, stream []byte) (out []string) {
	t.Helper()
	for len(stream) > 0 {
		n := int(binary.BigEndian.Uint32(stream[1:])) + 1
		if stream[0] == 'D' {
			var m pgproto3.DataRow
			if err := m.Decode(stream[5:n]); err != nil {
				t.Fatal(err)
			}
			out = append(out, string(m.Values[0]))
		}
		stream = stream[n:]
	}
	return out
}

func TestTheSieveLeavesOutLogBehindTheFork(t *testing.T) {
	all := []string{"base/1/1259", "pg_wal", "pg_wal/000000010000000000000003", "pg_wal/000000010000000000000004", "pg_wal/000000020000000000000004",
		"pg_wal/000000020000000000000005", "pg_wal/000000010000000000000007", "pg_wal/00000002.history", "pg_wal/archive_status", "base/000000020000000000000005"}
	kept := slices.Concat(all[:5], all[7:])
	v := &sieve{size: 16 << 20, fork: 0x4000000}
	var out bytes.Buffer
	if err := v.pass(bytes.NewReader(list(t, all...)), &out); err == nil {
		t.Error("the end of the stream was not told")
	}
	if got := paths(t, out.Bytes()); !slices.Equal(got, slices.Concat(kept, all)) || v.left != 2 {
		t.Errorf("%d left out, passed %q", v.left, got)
	}
}

func FuzzSieve(f *testing.F) {
	f.Add(list(f, "pg_wal/000000020000000000000005", "PG_VERSION"))
	f.Add([]byte("T\x00\x00\x00\x06\xff\xffD\x00\x00\x00\x05\x00"))
	f.Add([]byte("D\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		v := &sieve{size: 16 << 20, fork: 0x4000000}
		var out bytes.Buffer
		if err := v.pass(bytes.NewReader(in), &out); err == nil {
			t.Error("it ended without a reason")
		}
		if v.left == 0 && !bytes.HasPrefix(in, out.Bytes()) {
			t.Error("it changed what it passes")
		}
	})
}
