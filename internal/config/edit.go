package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// Addition is what `backstay protect` adds to a file. Entries that already stand there, equal, are left alone.
type Addition struct {
	Repositories map[string]Repository
	Sources      map[string]Source
	Recipients   map[string]string
}

const opening = `# What Backstay protects and where it keeps the history. Every change here takes effect when backstay starts.
`

// Add returns data with the additions, and nothing else changed. It refuses an entry that stands there with another
// meaning.
func Add(file string, data []byte, add Addition) ([]byte, error) {
	old, err := Parse(file, data)
	if err != nil {
		return nil, err
	}
	want := *old
	e := &editor{file: file, text: string(data)}
	if len(strings.TrimSpace(e.text)) == 0 {
		e.text = opening
	}
	for _, name := range sorted(add.Repositories) {
		want.Repositories = with(want.Repositories, name, add.Repositories[name])
		e.add("repositories", name, old.Repositories, add.Repositories[name], "{ store: "+quote(add.Repositories[name].Store)+" }")
	}
	for _, name := range sorted(add.Recipients) {
		want.Recipients = with(want.Recipients, name, add.Recipients[name])
		e.add("recipients", name, old.Recipients, add.Recipients[name], quote(add.Recipients[name]))
	}
	for _, name := range sorted(add.Sources) {
		want.Sources = with(want.Sources, name, add.Sources[name])
		e.add("sources", name, old.Sources, add.Sources[name], flowSource(add.Sources[name]))
	}
	if e.err != nil {
		return nil, e.err
	}
	return e.verified(&want)
}

// Remove returns data without one source. What else named nothing but it stays.
func Remove(file string, data []byte, source string) ([]byte, error) {
	old, err := Parse(file, data)
	if err != nil {
		return nil, err
	}
	if _, ok := old.Sources[source]; !ok {
		return nil, fmt.Errorf("remove source %s from %s: %w", source, file, fs.ErrNotExist)
	}
	want := *old
	want.Sources = map[string]Source{}
	for name, s := range old.Sources {
		if name != source {
			want.Sources[name] = s
		}
	}
	e := &editor{file: file, text: string(data)}
	e.remove("sources", source)
	if e.err != nil {
		return nil, e.err
	}
	return e.verified(&want)
}

// Edit applies change to the file at path atomically. A missing file counts as empty.
func Edit(path string, change func(data []byte) ([]byte, error)) error {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read configuration: %w", err)
	}
	changed, err := change(data)
	if err != nil || string(changed) == string(data) && len(data) > 0 {
		return err
	}
	if err := atomicfile.Write(path, changed, 0o644); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// editor changes lines of a file; the first failure stays in err.
type editor struct {
	file string
	text string
	err  error
}

func (e *editor) add(group, name string, old, value any, flow string) {
	if e.err != nil {
		return
	}
	if !ValidName(name) {
		e.err = &Error{File: e.file, Message: fmt.Sprintf("name %q", name), Advice: "names hold letters, digits, and - _ = . inside, at most 64 of them"}
		return
	}
	if had := reflect.ValueOf(old).MapIndex(reflect.ValueOf(name)); had.IsValid() {
		if !reflect.DeepEqual(had.Interface(), value) {
			e.err = &Error{File: e.file, Message: fmt.Sprintf("%s.%s already stands there with another meaning", group, name), Advice: "choose another name, or change the file"}
		}
		return
	}
	e.insert(group, quote(name)+": "+flow)
}

// insert puts one entry at the end of a block mapping, or at the beginning of one in braces.
func (e *editor) insert(group, entry string) {
	p := &parser{file: e.file, lines: strings.Split(e.text, "\n")}
	if err := p.parse(); err != nil {
		e.err = err
		return
	}
	key, value := p.find(group)
	m, isMap := value.(*ast.MappingNode)
	switch {
	case key == nil:
		if e.text != "" && !strings.HasSuffix(e.text, "\n") {
			e.text += "\n"
		}
		e.text += group + ":\n  " + entry + "\n"
	case isMap && m.IsFlowStyle:
		line, col := m.Start.Position.Line-1, m.Start.Position.Column
		if len(m.Values) > 0 {
			entry += ","
		}
		runes := []rune(p.lines[line])
		rest := string(runes[col:])
		if !strings.HasPrefix(rest, " ") {
			rest = " " + rest
		}
		p.lines[line] = string(runes[:col]) + " " + entry + rest
		e.text = strings.Join(p.lines, "\n")
	default:
		first, last, indent := block(p.lines, key.Position.Line-1)
		if first < 0 {
			indent = strings.Repeat(" ", key.Position.Column+1)
		}
		lines := append([]string{}, p.lines[:last+1]...)
		lines = append(lines, indent+entry)
		e.text = strings.Join(append(lines, p.lines[last+1:]...), "\n")
	}
}

func (e *editor) remove(group, name string) {
	p := &parser{file: e.file, lines: strings.Split(e.text, "\n")}
	if err := p.parse(); err != nil {
		e.err = err
		return
	}
	_, value := p.find(group)
	if m, ok := value.(*ast.MappingNode); ok && m.IsFlowStyle {
		tok, _ := p.find(group, name)
		e.err = p.at(tok, fmt.Sprintf("%s stands in braces, where lines cannot be removed", name), "remove this entry by hand")
		return
	}
	tok, _ := p.find(group, name)
	at := tok.Position.Line - 1
	_, last, _ := block(p.lines, at)
	if len(pairs(value)) == 1 {
		key, _ := p.find(group)
		at = key.Position.Line - 1
	}
	e.text = strings.Join(append(append([]string{}, p.lines[:at]...), p.lines[last+1:]...), "\n")
}

// block gives the first and the last line that belong to the key on line at, and the indentation of the first;
// first is -1 and last is at where there are none. Comments behind the last line do not belong to it.
func block(lines []string, at int) (first, last int, indent string) {
	first, last = -1, at
	outer := indentation(lines[at])
	for i := at + 1; i < len(lines); i++ {
		trimmed := strings.TrimSpace(lines[i])
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if len(indentation(lines[i])) <= len(outer) {
			break
		}
		if first < 0 {
			first, indent = i, indentation(lines[i])
		}
		last = i
	}
	return first, last, indent
}

func indentation(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " "))] }

// verified gives the text if it means exactly want.
func (e *editor) verified(want *Config) ([]byte, error) {
	got, err := Parse(e.file, []byte(e.text))
	if err == nil && !equal(got, want) {
		err = errors.New("the layout of this file is not understood")
	}
	if err != nil {
		return nil, &Error{File: e.file, Message: "add to the file: " + err.Error(), Advice: "add the entries by hand"}
	}
	return []byte(e.text), nil
}

func equal(a, b *Config) bool {
	return fmt.Sprint(a.Repositories) == fmt.Sprint(b.Repositories) && fmt.Sprint(a.Sources) == fmt.Sprint(b.Sources) && fmt.Sprint(a.Recipients) == fmt.Sprint(b.Recipients)
}

func with[V any](m map[string]V, name string, value V) map[string]V {
	out := map[string]V{name: value}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}

func flowSource(s Source) string {
	names := make([]string, len(s.Repositories))
	for i, r := range s.Repositories {
		names[i] = quote(r)
	}
	text := "{ url: " + quote(s.URL) + ", repositories: [" + strings.Join(names, ", ") + "]"
	if s.Ack != "" {
		text += ", ack: " + string(s.Ack)
	}
	if s.HeldLimit != 0 {
		text += ", held_limit: " + s.HeldLimit.String()
	}
	if s.SpoolLimit != 0 {
		text += ", spool_limit: " + s.SpoolLimit.String()
	}
	if s.SegmentSize != 0 {
		text += ", segment_size: " + s.SegmentSize.String()
	}
	return text + " }"
}
