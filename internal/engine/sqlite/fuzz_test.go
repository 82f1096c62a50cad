package sqlite

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// walOf returns the -wal and -shm files of a database in use.
func walOf(tb testing.TB) (wal, shm []byte) {
	tb.Helper()
	db, err := open(tb.TempDir()+"/a.db", "mode=rwc&_pragma=journal_mode(wal)&_pragma=page_size(512)")
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	var path string
	if _, err := db.Exec("CREATE TABLE t(x); INSERT INTO t VALUES(randomblob(900)); INSERT INTO t VALUES(1)"); err != nil {
		tb.Fatal(err)
	}
	if err := db.QueryRow("SELECT file FROM pragma_database_list").Scan(&path); err != nil {
		tb.Fatal(err)
	}
	if wal, err = os.ReadFile(path + "-wal"); err != nil {
		tb.Fatal(err)
	}
	if shm, err = os.ReadFile(path + "-shm"); err != nil {
		tb.Fatal(err)
	}
	return wal, shm[:4096]
}

func FuzzWAL(f *testing.F) {
	wal, _ := walOf(f)
	f.Add(wal)
	f.Add(wal[:len(wal)-7])
	f.Add([]byte{0x37, 0x7f, 6, 0x82})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseWALHeader(b)
		if err != nil {
			return
		}
		last := uint32(len(b) / int(h.pageSize+frameHeaderSize))
		_, err = walk(bytes.NewReader(b), h, h.sum, 1, last, func(n uint32, fr frameHeader, _ walSum) error {
			if fr.page == 0 || fr.salt != h.salt || frameOffset(n+1, h.pageSize) > int64(len(b)) {
				t.Fatalf("frame %d of page %d counts", n, fr.page)
			}
			return nil
		})
		_ = err
	})
}

func FuzzWALIndex(f *testing.F) {
	_, shm := walOf(f)
	f.Add(shm)
	f.Add(shm[:walIndexSize-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := parseWALIndex(b); err == nil && x.frames != binary.NativeEndian.Uint32(b[16:]) {
			t.Fatalf("%+v", x)
		}
	})
}

func FuzzBookmark(f *testing.F) {
	f.Add(head{position: history.At(1, 2), pageSize: 4096, pages: 3, sum: 4, wal: true, salt: 5, frame: 6, chain: walSum{7, 8}}.token())
	f.Add([]byte(`{"v":1,"pages":1}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := headOf(engine.Bookmark{Position: history.At(1, 2), Token: b, Time: time.Unix(1, 0)})
		if err != nil {
			return
		}
		again, err := headOf(h.bookmark())
		if err != nil || again != h {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("SQLite format 3\x00"))
	f.Add(append([]byte("SQLite format 3\x00\x00\x01\x02\x02"), make([]byte, 80)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHeader(b); err == nil && len(b) > 0 && !validPageSize(h.pageSize) {
			t.Fatalf("page size %d", h.pageSize)
		}
	})
}
