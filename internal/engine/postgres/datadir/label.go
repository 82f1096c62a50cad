package datadir

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// Names of what a base brings along.
const (
	LabelName    = "backup_label"
	MapName      = "tablespace_map"
	ManifestName = "backup_manifest"
)

// Label is what backup_label says (server file src/backend/access/transam/xlogbackup.c).
type Label struct {
	Start       wal.LSN // where recovery begins: the redo point of the checkpoint
	StartFile   string  // the segment of the log that holds it
	Checkpoint  wal.LSN
	FromStandby bool
	Name        string
	Timeline    uint32 // on which it begins
}

// ErrLabel is what a backup_label that cannot be used is.
var ErrLabel = errors.New("backup_label cannot be understood")

// ParseLabel reads backup_label.
func ParseLabel(text string) (l Label, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ": ")
		if !ok {
			continue
		}
		switch key {
		case "START WAL LOCATION":
			lsn, file, _ := strings.Cut(value, " (file ")
			l.StartFile = strings.TrimSuffix(file, ")")
			l.Start, err = wal.ParseLSN(lsn)
		case "CHECKPOINT LOCATION":
			l.Checkpoint, err = wal.ParseLSN(value)
		case "BACKUP FROM":
			l.FromStandby = value == "standby"
		case "LABEL":
			l.Name = value
		case "START TIMELINE":
			var n uint64
			n, err = strconv.ParseUint(value, 10, 32)
			l.Timeline = uint32(n)
		}
		if err != nil {
			return l, fmt.Errorf("parse backup_label: %s: %w", key, ErrLabel)
		}
	}
	if l.Start == 0 || l.Checkpoint == 0 || l.Timeline == 0 {
		return l, fmt.Errorf("parse backup_label: it names no start: %w", ErrLabel)
	}
	return l, nil
}

// Tablespace is one line of tablespace_map.
type Tablespace struct {
	OID  uint32
	Path string // where the server keeps it
}

// ParseTablespaces reads tablespace_map. Line breaks and backslashes in a path are written with a backslash before
// them (13.9, 14.6 and later; those before had no backslash for a backslash).
func ParseTablespaces(text string) ([]Tablespace, error) {
	var list []Tablespace
	for len(text) > 0 {
		var line strings.Builder
		i := 0
		for i < len(text) && text[i] != '\n' && text[i] != '\r' {
			if text[i] == '\\' && i+1 < len(text) {
				i++
			}
			line.WriteByte(text[i])
			i++
		}
		text = strings.TrimLeft(text[i:], "\r\n")
		if line.Len() == 0 {
			continue
		}
		oid, where, ok := strings.Cut(line.String(), " ")
		n, valid := parseNumber(oid)
		if !ok || !valid || where == "" {
			return nil, fmt.Errorf("parse tablespace_map: line %q is no number and path", line.String())
		}
		list = append(list, Tablespace{OID: n, Path: where})
	}
	return list, nil
}

// FormatTablespaces writes tablespace_map.
func FormatTablespaces(list []Tablespace) string {
	escape := strings.NewReplacer("\\", "\\\\", "\n", "\\\n", "\r", "\\\r")
	var b strings.Builder
	for _, t := range list {
		b.WriteString(itoa(uint64(t.OID)) + " " + escape.Replace(t.Path) + "\n")
	}
	return b.String()
}
