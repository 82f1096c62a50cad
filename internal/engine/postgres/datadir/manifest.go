package datadir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Manifest is a backup_manifest (server documentation, "Backup Manifest Format"), which stock pg_verifybackup reads.
type Manifest struct {
	Version  int    // 1; 2 from server 17 on
	SystemID uint64 // in version 2
	Files    []ManifestFile
	Ranges   []WALRange
}

// ManifestFile is one file of a base.
type ManifestFile struct {
	Path      string
	Size      int64
	Modified  time.Time
	Algorithm string // "CRC32C", "SHA256", …; "" for a file without a checksum
	Checksum  []byte
}

// WALRange is the log that a base needs on one timeline.
type WALRange struct {
	Timeline   uint32
	Start, End wal.LSN
}

// CRC32CChecksum is crc as a manifest holds it: as the server has it in memory.
func CRC32CChecksum(crc uint32) []byte {
	return []byte{byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24)}
}

// ManifestWriter makes a manifest while a base is being taken. Files are added from one goroutine at a time.
type ManifestWriter struct {
	buf   bytes.Buffer
	files int
}

// NewManifestWriter begins the manifest of a base of a server of that major version, 13 or later.
func NewManifestWriter(major int, systemID uint64) *ManifestWriter {
	w := &ManifestWriter{}
	version := 1
	if major >= 17 {
		version = 2
	}
	fmt.Fprintf(&w.buf, "{ \"PostgreSQL-Backup-Manifest-Version\": %d,\n", version)
	if version >= 2 {
		fmt.Fprintf(&w.buf, "\"System-Identifier\": %d,\n", systemID)
	}
	w.buf.WriteString("\"Files\": [")
	return w
}

// Add lists a file.
func (w *ManifestWriter) Add(f ManifestFile) {
	if w.files > 0 {
		w.buf.WriteByte(',')
	}
	w.files++
	w.buf.WriteString("\n{ ")
	appendFile(&w.buf, f)
	w.buf.WriteString(" }")
}

func appendFile(b *bytes.Buffer, f ManifestFile) {
	if utf8.ValidString(f.Path) {
		b.WriteString("\"Path\": ")
		appendString(b, f.Path)
	} else {
		b.WriteString("\"Encoded-Path\": \"" + hex.EncodeToString([]byte(f.Path)) + "\"")
	}
	b.WriteString(", \"Size\": ")
	b.WriteString(strconv.FormatInt(f.Size, 10))
	b.WriteString(", \"Last-Modified\": \"")
	b.Write(f.Modified.UTC().AppendFormat(b.AvailableBuffer(), "2006-01-02 15:04:05"))
	b.WriteString(" GMT\"")
	if f.Algorithm != "" {
		b.WriteString(", \"Checksum-Algorithm\": \"" + f.Algorithm + "\", \"Checksum\": \"" + hex.EncodeToString(f.Checksum) + "\"")
	}
}

// appendString writes s as JSON that the server's parser reads: nothing is escaped but what must be.
func appendString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string in a Buffer cannot fail
	b.Truncate(b.Len() - 1)
}

// Finish ends the manifest with the log that the base needs and returns it.
func (w *ManifestWriter) Finish(ranges []WALRange) []byte {
	w.buf.WriteString("\n],\n\"WAL-Ranges\": [")
	for i, r := range ranges {
		if i > 0 {
			w.buf.WriteByte(',')
		}
		fmt.Fprintf(&w.buf, "\n{ \"Timeline\": %d, \"Start-LSN\": \"%s\", \"End-LSN\": \"%s\" }", r.Timeline, r.Start, r.End)
	}
	w.buf.WriteString("\n],\n")
	return sign(w.buf.Bytes())
}

// sign appends the checksum over all that stands before it.
func sign(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, "\"Manifest-Checksum\": \""+hex.EncodeToString(sum[:])+"\"}\n"...)
}

// ErrManifest is what a manifest that cannot be used is.
var ErrManifest = errors.New("backup_manifest is damaged")

// sumLine begins the last line of a manifest.
var sumLine = []byte("\"Manifest-Checksum\"")

// checkSum verifies the last line of b and returns where it begins.
func checkSum(b []byte) (at int, err error) {
	at = bytes.LastIndex(b, sumLine)
	if at <= 0 || b[at-1] != '\n' {
		return 0, fmt.Errorf("read manifest: it has no checksum: %w", ErrManifest)
	}
	var last struct {
		Sum string `json:"Manifest-Checksum"`
	}
	if err := json.Unmarshal(append([]byte("{"), b[at:]...), &last); err != nil {
		return 0, fmt.Errorf("read manifest: its checksum: %w: %w", err, ErrManifest)
	}
	sum := sha256.Sum256(b[:at])
	if got := hex.EncodeToString(sum[:]); got != last.Sum {
		return 0, fmt.Errorf("read manifest: checksum %s, want %s: %w", got, last.Sum, ErrManifest)
	}
	return at, nil
}

// jsonManifest is the file as encoding/json reads it.
type jsonManifest struct {
	Version  int    `json:"PostgreSQL-Backup-Manifest-Version"`
	SystemID uint64 `json:"System-Identifier"`
	Files    []struct {
		Path      string
		Encoded   string `json:"Encoded-Path"`
		Size      int64
		Modified  string `json:"Last-Modified"`
		Algorithm string `json:"Checksum-Algorithm"`
		Checksum  string
	}
	Ranges []struct {
		Timeline uint32
		Start    string `json:"Start-LSN"`
		End      string `json:"End-LSN"`
	} `json:"WAL-Ranges"`
}

// ParseManifest reads a manifest of any version known and verifies its checksum.
func ParseManifest(b []byte) (*Manifest, error) {
	if _, err := checkSum(b); err != nil {
		return nil, err
	}
	var j jsonManifest
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, fmt.Errorf("read manifest: %w: %w", err, ErrManifest)
	}
	if j.Version < 1 || j.Version > 2 {
		return nil, fmt.Errorf("read manifest: version %d is not known: %w", j.Version, ErrManifest)
	}
	m := &Manifest{Version: j.Version, SystemID: j.SystemID}
	for _, f := range j.Files {
		file := ManifestFile{Path: f.Path, Size: f.Size, Algorithm: f.Algorithm}
		raw, err := hex.DecodeString(f.Encoded)
		if file.Path == "" {
			file.Path = string(raw)
		}
		var err2, err3 error
		file.Checksum, err2 = hex.DecodeString(f.Checksum)
		file.Modified, err3 = time.Parse("2006-01-02 15:04:05 GMT", f.Modified)
		if err := errors.Join(err, err2, err3); err != nil {
			return nil, fmt.Errorf("read manifest: file %q: %w: %w", file.Path, err, ErrManifest)
		}
		m.Files = append(m.Files, file)
	}
	for _, r := range j.Ranges {
		start, err := wal.ParseLSN(r.Start)
		end, err2 := wal.ParseLSN(r.End)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("read manifest: log: %w: %w", err, ErrManifest)
		}
		m.Ranges = append(m.Ranges, WALRange{Timeline: r.Timeline, Start: start, End: end})
	}
	return m, nil
}

// AppendToManifest returns the manifest b, made by a server, with more files listed, signed anew. Nothing else in it
// changes.
func AppendToManifest(b []byte, files []ManifestFile) ([]byte, error) {
	at, err := checkSum(b)
	if err != nil {
		return nil, err
	}
	end := bytes.Index(b[:at], []byte("\n],\n\"WAL-Ranges\""))
	if end < 0 {
		return nil, fmt.Errorf("append to manifest: its list of files has no end: %w", ErrManifest)
	}
	w := &ManifestWriter{}
	w.buf.Write(b[:end])
	if !bytes.HasSuffix(b[:end], []byte("[")) {
		w.files = 1
	}
	for _, f := range files {
		w.Add(f)
	}
	w.buf.Write(b[end:at])
	return sign(w.buf.Bytes()), nil
}
