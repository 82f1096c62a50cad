package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/backstaydb/backstay/internal/history"
)

// format is how the first line of every checkpoint begins.
const format = "backstay/v0 "

// maxCheckpoint is the largest checkpoint object that is read, in bytes.
const maxCheckpoint = 64 << 20

const timeLayout = "2006-01-02T15:04:05.000000Z"

// Checkpoint is one signed statement about the whole log.
type Checkpoint struct {
	Origin string         `json:"origin"` // whose log it is: the name of the source
	Number uint64         `json:"number"`
	Size   int64          `json:"size"` // leaves in the tree
	Root   tlog.Hash      `json:"root"`
	Time   time.Time      `json:"time"`  // by the writer's clock
	Whole  history.Moment `json:"whole"` // nothing beyond this position was committed at this time
	Tips   []Tip          `json:"tips,omitempty"`
	Signer string         `json:"signer"` // name of the key that signed it
	Note   []byte         `json:"-"`      // the signed note itself, without leaves
}

// Tip is an object that the checkpoint covers itself, without a leaf.
type Tip struct {
	Name   string          `json:"name"`
	Size   int64           `json:"size"`
	SHA256 string          `json:"sha256"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// Seen is what a host keeps of the checkpoint.
func (c Checkpoint) Seen() Seen {
	return Seen{Number: c.Number, Size: c.Size, Root: c.Root, Time: c.Time}
}

// text is what is signed.
func (c Checkpoint) text() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n%d\n%s\nnumber %d\ntime %s\n", format, c.Origin, c.Size, c.Root, c.Number, c.Time.UTC().Format(timeLayout))
	if !c.Whole.Time.IsZero() {
		fmt.Fprintf(&b, "whole %s %s\n", c.Whole.Position, c.Whole.Time.UTC().Format(time.RFC3339Nano))
	}
	lines := strings.Count(b.String(), "\n")
	for _, t := range c.Tips {
		line, err := json.Marshal(t)
		if err != nil {
			return "", fmt.Errorf("encode tip %s: %w", t.Name, err)
		}
		fmt.Fprintf(&b, "tip %s\n", line)
	}
	if strings.Count(b.String(), "\n") != lines+len(c.Tips) || c.Whole.Time.IsZero() && lines != 5 || !c.Whole.Time.IsZero() && lines != 6 {
		return "", fmt.Errorf("encode checkpoint %d: a name or position holds a line break", c.Number)
	}
	return b.String(), nil
}

// parseText reads what text wrote. Lines that it does not know are skipped, as signed notes ask for.
func parseText(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	origin, ok := strings.CutPrefix(lines[0], format)
	if !ok || len(lines) < 5 {
		return c, fmt.Errorf("parse checkpoint: it does not begin with %q and four lines", format)
	}
	c.Origin = origin
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return c, fmt.Errorf("parse checkpoint: %q is no tree size", lines[1])
	}
	c.Size = size
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return c, fmt.Errorf("parse checkpoint: root hash: %w", err)
	}
	for _, line := range lines[3:] {
		key, value, _ := strings.Cut(line, " ")
		if err := c.parseLine(key, value); err != nil {
			return c, fmt.Errorf("parse checkpoint: %s: %w", key, err)
		}
	}
	if c.Number == 0 || c.Time.IsZero() {
		return c, fmt.Errorf("parse checkpoint: it has no number or no time")
	}
	return c, nil
}

func (c *Checkpoint) parseLine(key, value string) (err error) {
	switch key {
	case "number":
		c.Number, err = strconv.ParseUint(value, 10, 64)
	case "time":
		c.Time, err = time.Parse(time.RFC3339Nano, value)
	case "whole":
		// The position may hold blanks where its mark does; the time does not.
		i := strings.LastIndexByte(value, ' ')
		if i < 0 {
			return fmt.Errorf("%q is no position and time", value)
		}
		if c.Whole.Position, err = history.ParsePosition(value[:i]); err != nil {
			return err
		}
		c.Whole.Time, err = time.Parse(time.RFC3339Nano, value[i+1:])
	case "tip":
		var t Tip
		if err := json.Unmarshal([]byte(value), &t); err != nil {
			return err
		}
		c.Tips = append(c.Tips, t)
	}
	return err
}

// splitCheckpoint cuts an object into the signed note and the leaves behind it.
func splitCheckpoint(b []byte) (note []byte, leaves [][]byte, err error) {
	blank := []byte("\n\n")
	text := bytes.Index(b, blank)
	if text < 0 {
		return nil, nil, fmt.Errorf("parse checkpoint: it has no signature")
	}
	sigs := bytes.Index(b[text+len(blank):], blank)
	if sigs < 0 {
		return nil, nil, fmt.Errorf("parse checkpoint: its signatures do not end")
	}
	end := text + len(blank) + sigs
	if leaves, err = splitLines(b[end+len(blank):]); err != nil {
		return nil, nil, fmt.Errorf("parse checkpoint: %w", err)
	}
	return b[:end+1], leaves, nil
}

// joinCheckpoint is the inverse of splitCheckpoint.
func joinCheckpoint(note []byte, leaves [][]byte) []byte {
	b := append(bytes.Clone(note), '\n')
	return append(b, joinLines(leaves)...)
}
