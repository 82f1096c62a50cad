package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/jackc/pgx/v5/pgproto3"
)

// BackupOptions say what kind of base backup is sent.
type BackupOptions struct {
	Label    string
	Spread   bool // the checkpoint at the beginning may take its time, to spare the server
	Manifest bool // from version 13 on; with CRC-32C for each file
	Progress bool // the sizes of tablespaces are estimated beforehand, which takes the server some time
}

// command is the BASE_BACKUP command for a version. The log is not part of the backup, and the server does not wait
// for its archiving: both are the caller's. Nor is tablespace_map, which the manifest would list: who restores puts
// tablespaces elsewhere and has no use for it. Their links are sent instead, and Tablespaces says the same.
func (o BackupOptions) command(version int) string {
	label := "'" + strings.ReplaceAll(o.Label, "'", "''") + "'"
	var words []string
	add := func(ok bool, old, now string) {
		if ok && version >= 15 {
			words = append(words, now)
		} else if ok && old != "" {
			words = append(words, old)
		}
	}
	add(true, "LABEL "+label, "LABEL "+label)
	add(o.Progress, "PROGRESS", "PROGRESS")
	add(!o.Spread, "FAST", "CHECKPOINT 'fast'")
	add(true, "NOWAIT", "WAIT false")
	add(o.Manifest && version >= 13, "MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'", "MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C'")
	if version >= 15 {
		return "BASE_BACKUP (" + strings.Join(words, ", ") + ")"
	}
	return "BASE_BACKUP " + strings.Join(words, " ")
}

// Backup is a base backup that is being sent: archives one after the other, in tar format, and the manifest.
type Backup struct {
	Start       wal.LSN // the redo point
	Timeline    uint32
	Tablespaces []Tablespace // the main data directory has OID 0

	// Stop is where the backup ended, and Timeline then; known when Next has returned io.EOF.
	Stop         wal.LSN
	StopTimeline uint32

	w       *wire
	typed   bool // messages have a type: version 15 and later
	archive *Archive
	index   int
	next    *Archive // announced while the one before was read
	ended   bool     // no further archive comes
}

// Tablespace is one of the server's.
type Tablespace struct {
	OID   uint32
	Path  string
	Bytes int64 // about; 0 unless Progress was asked for
}

// Archive is one tar archive, or the manifest. Reads end with io.EOF at its end. The tar of servers before 15 lacks the
// two blocks of zeros at the end.
type Archive struct {
	Tablespace Tablespace
	Manifest   bool // it is the manifest, no tar

	b    *Backup
	rest []byte
	done bool
	err  error
}

// BaseBackup begins a base backup. The connection is the backup's from then on; it ends with ctx.
func (c *Conn) BaseBackup(ctx context.Context, o BackupOptions) (*Backup, error) {
	version := c.Version()
	w, err := c.take(ctx)
	if err != nil {
		return nil, err
	}
	b := &Backup{w: w, typed: version >= 15}
	if err := b.begin(o.command(version)); err != nil {
		w.close()
		return nil, err
	}
	return b, nil
}

// begin reads the two tables that come first.
func (b *Backup) begin(command string) error {
	if err := b.w.query(command); err != nil {
		return err
	}
	var err error
	if b.Start, b.Timeline, err = b.place(); err != nil {
		return err
	}
	rows, err := b.resultSet()
	if err != nil {
		return err
	}
	for _, row := range rows {
		t, err := parseTablespace(row)
		if err != nil {
			return err
		}
		b.Tablespaces = append(b.Tablespaces, t)
	}
	return nil
}

// resultSet reads a whole result set.
func (b *Backup) resultSet() ([][]string, error) {
	m, err := b.w.receive()
	if err != nil {
		return nil, err
	}
	if _, ok := m.(*pgproto3.RowDescription); !ok {
		return nil, unexpected(m)
	}
	return b.w.table()
}

// place reads the result set that says where the backup begins or ends.
func (b *Backup) place() (wal.LSN, uint32, error) {
	rows, err := b.resultSet()
	if err != nil {
		return 0, 0, err
	}
	return parsePlace(rows)
}

func parsePlace(rows [][]string) (wal.LSN, uint32, error) {
	if len(rows) != 1 || len(rows[0]) != 2 {
		return 0, 0, errors.New("read base backup: the place where it begins or ends has another form")
	}
	at, err := wal.ParseLSN(rows[0][0])
	if err != nil {
		return 0, 0, fmt.Errorf("read base backup: %w", err)
	}
	timeline, err := strconv.ParseUint(rows[0][1], 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("read base backup: timeline %q is not a number", rows[0][1])
	}
	return at, uint32(timeline), nil
}

// parseTablespace reads a row of OID, place and size in KiB. The main data directory has neither OID nor place.
func parseTablespace(row []string) (Tablespace, error) {
	if len(row) != 3 {
		return Tablespace{}, errors.New("read base backup: the list of tablespaces has another form")
	}
	t := Tablespace{Path: row[1]}
	if row[0] != "" {
		oid, err := strconv.ParseUint(row[0], 10, 32)
		if err != nil {
			return Tablespace{}, fmt.Errorf("read base backup: tablespace %q is not a number", row[0])
		}
		t.OID = uint32(oid)
	}
	if row[2] != "" {
		size, err := strconv.ParseInt(row[2], 10, 53)
		if err != nil || size < 0 {
			return Tablespace{}, fmt.Errorf("read base backup: size %q of a tablespace is not a number", row[2])
		}
		t.Bytes = size << 10
	}
	return t, nil
}

// Next gives the next archive; what was not read of the one before is passed over. At the end it returns io.EOF; the
// backup counts only then.
func (b *Backup) Next() (*Archive, error) {
	if b.archive != nil {
		if _, err := io.Copy(io.Discard, b.archive); err != nil {
			return nil, err
		}
	}
	if b.ended {
		return nil, io.EOF
	}
	a, err := b.advance()
	if err == io.EOF {
		err = b.end()
	}
	if err != nil {
		return nil, err
	}
	b.archive = a
	return a, nil
}

// advance waits for the beginning of an archive; io.EOF is for the table behind the last one.
func (b *Backup) advance() (*Archive, error) {
	if a := b.next; a != nil {
		b.next = nil
		return a, nil
	}
	for {
		m, err := b.w.receive()
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *pgproto3.CopyOutResponse:
			if !b.typed {
				return b.numbered(), nil
			}
		case *pgproto3.CopyData:
			if !b.typed {
				return nil, unexpected(m)
			}
			a, _, err := b.typedMessage(m.Data)
			if a != nil || err != nil {
				return a, err
			}
		case *pgproto3.CopyDone:
		case *pgproto3.RowDescription:
			return nil, io.EOF
		default:
			return nil, unexpected(m)
		}
	}
}

// numbered is the next archive of a server that sends one for each tablespace, in their order, and then the manifest.
func (b *Backup) numbered() *Archive {
	a := &Archive{b: b}
	if b.index < len(b.Tablespaces) {
		a.Tablespace = b.Tablespaces[b.index]
	} else {
		a.Manifest = true
	}
	b.index++
	return a
}

// typedMessage reads one of the messages that have a type: it begins an archive, or has data, or neither.
func (b *Backup) typedMessage(raw []byte) (*Archive, []byte, error) {
	m, err := parseBackupMessage(raw)
	if err != nil {
		return nil, nil, err
	}
	switch m.kind {
	case 'n':
		a, err := b.named(m)
		return a, nil, err
	case 'm':
		return &Archive{b: b, Manifest: true}, nil, nil
	}
	return nil, m.data, nil
}

// named finds the tablespace of an archive: "base.tar", or its OID with ".tar".
func (b *Backup) named(m backupMessage) (*Archive, error) {
	oid := uint64(0)
	if name := strings.TrimSuffix(m.name, ".tar"); name != "base" {
		var err error
		if oid, err = strconv.ParseUint(name, 10, 32); err != nil {
			return nil, fmt.Errorf("read base backup: an archive is called %q", m.name)
		}
	}
	for _, t := range b.Tablespaces {
		if uint64(t.OID) == oid {
			return &Archive{b: b, Tablespace: t}, nil
		}
	}
	return nil, fmt.Errorf("read base backup: archive %q is of no tablespace", m.name)
}

// end reads what follows the archives.
func (b *Backup) end() error {
	rows, err := b.w.table()
	if err != nil {
		return err
	}
	if b.Stop, b.StopTimeline, err = parsePlace(rows); err != nil {
		return err
	}
	for {
		m, err := b.w.receive()
		if err != nil {
			return err
		}
		switch m.(type) {
		case *pgproto3.CommandComplete:
		case *pgproto3.ReadyForQuery:
			b.ended = true
			return io.EOF
		default:
			return unexpected(m)
		}
	}
}

// Close ends the backup and its connection; the server gives it up if it is not complete. It may be called again.
func (b *Backup) Close() error { return b.w.close() }

// Read gives the bytes of the archive.
func (a *Archive) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err == nil && a.done {
			a.err = io.EOF
		}
		if a.err != nil {
			return 0, a.err
		}
		a.err = a.fill()
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// fill waits for more of the archive.
func (a *Archive) fill() error {
	m, err := a.b.w.receive()
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *pgproto3.CopyData:
		if !a.b.typed {
			a.rest = m.Data
			return nil
		}
		a.b.next, a.rest, err = a.b.typedMessage(m.Data)
		a.done = a.b.next != nil
		return err
	case *pgproto3.CopyDone:
		a.done = true
		return nil
	}
	return unexpected(m)
}
