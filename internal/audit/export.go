package audit

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// Format is how Export writes.
type Format string

// The formats.
const (
	JSONLines Format = "jsonl" // one Record a line
	CSV       Format = "csv"   // RFC 4180, with a line of names
)

// Export writes the entries that the filter takes, oldest first, each volume after it has been verified. An error may
// leave a part of it written.
func (l *Log) Export(ctx context.Context, w io.Writer, format Format, f Filter) error {
	var err error
	switch format {
	case JSONLines:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		err = l.Read(ctx, f, func(r Record) error { return enc.Encode(r) })
	case CSV:
		err = l.exportCSV(ctx, w, f)
	default:
		err = fmt.Errorf("format %q: want %s or %s: %w", format, JSONLines, CSV, fs.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// columns are the fields of the CSV, in order.
var columns = []string{"volume", "n", "id", "time", "since", "user", "host", "command", "job", "what", "source", "repository",
	"objects", "why", "outcome", "error", "bytes", "tool", "config", "os", "arch", "pid", "directory"}

func (l *Log) exportCSV(ctx context.Context, w io.Writer, f Filter) error {
	out := csv.NewWriter(w)
	if err := out.Write(columns); err != nil {
		return err
	}
	err := l.Read(ctx, f, func(r Record) error {
		since := ""
		if !r.Since.IsZero() {
			since = r.Since.Format(time.RFC3339Nano)
		}
		row := []string{strconv.Itoa(r.Volume), strconv.FormatInt(r.N, 10), r.ID, r.Time.Format(time.RFC3339Nano), since,
			r.Who.User, r.Who.Host, r.Who.Command, r.Who.Job, string(r.What), r.Source, r.Repository,
			strings.Join(r.Objects, " "), r.Why, string(r.Outcome), r.Error, strconv.FormatInt(r.Bytes, 10), r.Tool, r.Config,
			r.Environment.OS, r.Environment.Arch, strconv.Itoa(r.Environment.PID), r.Environment.Directory}
		for i := range row {
			row[i] = inert(row[i])
		}
		return out.Write(row)
	})
	out.Flush()
	if err != nil {
		return err
	}
	return out.Error()
}

// inert keeps a spreadsheet from taking a text for a formula: an error message may come from anybody.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
