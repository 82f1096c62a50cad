package config

import (
	"iter"
	"reflect"
	"slices"
	"strings"
)

// field is one key that a struct of the file may hold.
type field struct {
	name     string
	typ      reflect.Type
	doc      string
	enum     []string
	required bool
}

// fieldsOf lists the keys of a struct, those of structs in it that have no key of their own included.
func fieldsOf(t reflect.Type) iter.Seq[field] {
	return func(yield func(field) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if options == "inline" {
				for inner := range fieldsOf(f.Type) {
					if !yield(inner) {
						return
					}
				}
				continue
			}
			if name == "-" || name == "" {
				continue
			}
			out := field{name: name, typ: f.Type, doc: f.Tag.Get("doc"), required: f.Tag.Get("required") == "true"}
			if enum := f.Tag.Get("enum"); enum != "" {
				out.enum = strings.Split(enum, ",")
			}
			if !yield(out) {
				return
			}
		}
	}
}

// suggest names the nearest of valid, or all of them where none is near.
func suggest(word string, valid []string) string {
	if near := nearest(word, valid); near != "" {
		return "did you mean " + near + "?"
	}
	if len(valid) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(valid))
	return "valid here: " + strings.Join(sorted, ", ")
}

// nearest is the valid name with the fewest edits, "" where more than a third of the letters would change.
func nearest(word string, valid []string) string {
	best, limit := "", max(2, (len(word)+2)/3)
	for _, v := range valid {
		if d := distance(strings.ToLower(word), v); d <= limit {
			best, limit = v, d-1
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
