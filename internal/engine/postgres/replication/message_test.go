package replication

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)

func dataMessage(start, end wal.LSN, t time.Time, data string) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'w'}, uint64(start))
	b = binary.BigEndian.AppendUint64(b, uint64(end))
	b = binary.BigEndian.AppendUint64(b, uint64(wal.Stamp(t)))
	return append(b, data...)
}

func keepalive(end wal.LSN, t time.Time, reply byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'k'}, uint64(end))
	b = binary.BigEndian.AppendUint64(b, uint64(wal.Stamp(t)))
	return append(b, reply)
}

func TestParseMessage(t *testing.T) {
	m, err := parseMessage(dataMessage(0x16B3748, 0x16B4000, noon, "log"))
	if err != nil || m.Start != 0x16B3748 || m.End != 0x16B4000 || !m.Time.Equal(noon) || string(m.Data) != "log" {
		t.Errorf("data: %+v, %v", m, err)
	}
	m, err = parseMessage(keepalive(0x16B4000, noon, 1))
	if err != nil || m.Data != nil || m.End != 0x16B4000 || !m.Time.Equal(noon) || !m.Reply {
		t.Errorf("keepalive: %+v, %v", m, err)
	}
	for _, bad := range [][]byte{nil, {'k'}, {'w', 0}, {'x', 1, 2}, append(keepalive(1, noon, 0), 0)} {
		if m, err := parseMessage(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, m)
		}
	}
}

func TestAppendStatus(t *testing.T) {
	b := appendStatus(nil, Status{Written: 3, Flushed: 2, Time: noon, Reply: true})
	if b[0] != 'd' || int(binary.BigEndian.Uint32(b[1:])) != len(b)-1 {
		t.Fatalf("the frame of %d bytes says %d", len(b), binary.BigEndian.Uint32(b[1:]))
	}
	u := func(at int) uint64 { return binary.BigEndian.Uint64(b[5+at:]) }
	if b[5] != 'r' || u(1) != 3 || u(9) != 2 || u(17) != 0 || int64(u(25)) != wal.Stamp(noon) || b[len(b)-1] != 1 {
		t.Errorf("status update %x", b)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(dataMessage(1, 2, noon, "log"))
	f.Add(keepalive(1, noon, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		again := keepalive(m.End, m.Time, b[len(b)-1])
		if b[0] == 'w' {
			again = dataMessage(m.Start, m.End, m.Time, string(m.Data))
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x was read as %x", b, again)
		}
	})
}

func TestBackupCommand(t *testing.T) {
	o := BackupOptions{Label: "it's", Manifest: true}
	for version, want := range map[int]string{
		12: "BASE_BACKUP LABEL 'it''s' FAST NOWAIT",
		13: "BASE_BACKUP LABEL 'it''s' FAST NOWAIT MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'",
		15: "BASE_BACKUP (LABEL 'it''s', CHECKPOINT 'fast', WAIT false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')",
	} {
		if got := o.command(version); got != want {
			t.Errorf("version %d: %s", version, got)
		}
	}
}

func FuzzParseBackupMessage(f *testing.F) {
	f.Add([]byte("nbase.tar\x00\x00"))
	f.Add([]byte("n16385.tar\x00/srv/space\x00"))
	f.Add([]byte("ddata"))
	f.Add([]byte("m"))
	f.Add([]byte("p\x00\x00\x00\x00\x00\x00\x00\x2a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseBackupMessage(b)
		if err != nil {
			return
		}
		again := []byte{m.kind}
		switch m.kind {
		case 'd':
			again = append(again, m.data...)
		case 'p':
			again = binary.BigEndian.AppendUint64(again, uint64(m.done))
		case 'n':
			again = append(again, m.name+"\x00"+m.path+"\x00"...)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x was read as %x", b, again)
		}
	})
}

func FuzzParseTables(f *testing.F) {
	f.Add("0/16B3748", "1", "1024")
	f.Add("16385", "/srv/space", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if at, timeline, err := parsePlace([][]string{{a, b}}); err == nil && (at == 0) != (a == "0/0") && timeline == 0 {
			t.Skip()
		}
		if s, err := parseTablespace([]string{a, b, c}); err == nil && (s.Bytes < 0 || s.Path != b) {
			t.Fatalf("%q %q %q was read as %+v", a, b, c, s)
		}
	})
}

func TestSlotNames(t *testing.T) {
	for name, want := range map[string]bool{"backstay_shop_0a1b2c": true, "": false, "Shop": false, `x"; DROP`: false, "a-b": false} {
		if ValidSlotName(name) != want {
			t.Errorf("slot name %q: valid is %t", name, !want)
		}
	}
	for version, want := range map[string]int{"15.14 (Debian 15.14-0+deb12u1)": 15, "18beta1": 18, "": 0, "x": 0} {
		if got := MajorVersion(version); got != want {
			t.Errorf("version %q: %d", version, got)
		}
	}
}
