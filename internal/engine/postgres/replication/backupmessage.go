package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// backupMessage is a CopyData message of a base backup, from version 15 on: a new archive ('n'), data of the archive
// or manifest that was begun last ('d'), the beginning of the manifest ('m'), progress ('p').
type backupMessage struct {
	kind byte
	name string // of a new archive: "base.tar", "16385.tar"
	path string // where its tablespace lies, "" for the main data directory
	data []byte
	done int64 // bytes sent of the tablespace, of progress
}

func parseBackupMessage(b []byte) (backupMessage, error) {
	if len(b) == 0 {
		return backupMessage{}, errors.New("read base backup: an empty message")
	}
	m := backupMessage{kind: b[0]}
	rest := b[1:]
	switch m.kind {
	case 'd':
		m.data = rest
	case 'm':
		if len(rest) != 0 {
			return m, errors.New("read base backup: the beginning of the manifest has data")
		}
	case 'p':
		if len(rest) != 8 {
			return m, fmt.Errorf("read base backup: progress of %d bytes", len(rest))
		}
		m.done = int64(binary.BigEndian.Uint64(rest))
	case 'n':
		name, rest, ok := bytes.Cut(rest, []byte{0})
		path, rest, ok2 := bytes.Cut(rest, []byte{0})
		if !ok || !ok2 || len(rest) != 0 {
			return m, errors.New("read base backup: the name of an archive is not ended")
		}
		m.name, m.path = string(name), string(path)
	default:
		return m, fmt.Errorf("read base backup: a message %q is not known", m.kind)
	}
	return m, nil
}
